// Package fleet makes machines out of nothing with Terraform, and nothing out of machines, whatever is killed on the
// way.
//
//	Plan ──▶ Plan: words, numbers, a saved file ──▶ Apply ──▶ Outputs
//	  │        policy: price, size, region, account, bucket        │
//	  └─ Provider: what is special about a cloud                   Extend, Scale, Destroy, Leftovers
//
// A Fleet is a name in a home folder. What is wanted is in its record, what Terraform knows in its state, what
// truly is there in the cloud alone: a killed run leaves resources that no state has. So every resource carries the
// cluster's name, and whatever carries it and is in no state is a leftover: Apply removes it first, Destroy last.
//
// One operation at a time: the first takes a kernel lock in the fleet's folder, and Terraform a lock beside its state,
// for those on other machines. A lock whose holder is gone is broken, and only that.
package fleet

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Fleet is a fleet by its name: one that is there, was there, or is to be made. Its methods may be called by several
// goroutines and processes; those that change something exclude each other.
type Fleet struct {
	name     string
	dir      string // <home>/fleets/<name>
	modules  fs.FS
	provider Provider
	options  Options
}

// Options change how a Fleet works. The zero value is right outside tests.
type Options struct {
	// Terraform is the program; if empty it is searched on PATH, then where an earlier run has put it, then fetched.
	Terraform string
	// Env is the environment of Terraform as NAME=VALUE; nil is this process's.
	Env []string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Releases is a site laid out like releases.hashicorp.com from which Terraform is fetched; empty is that one.
	Releases string
	// NewSecrets makes the secrets of a fleet that has none, by names as Secrets has them; nil: machines need none.
	NewSecrets func() (map[string]string, error)
	// BreakLock breaks a lock on the state whose holder can't be shown to be gone, because its user says that it is.
	BreakLock bool
}

// Open returns the fleet of a name in a home folder, which need not exist yet. modules holds the folders modules and
// roots with Terraform's configuration. A name that no cluster can have fails with errs.Invalid.
func Open(home, name string, modules fs.FS, p Provider, o Options) (*Fleet, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	home, err := filepath.Abs(home) // Terraform has another working folder
	if err != nil {
		return nil, errs.E("fleet.Open", errs.Other, home, err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	return &Fleet{name: name, dir: filepath.Join(home, fleetsDir, name), modules: modules, provider: p, options: o}, nil
}

const fleetsDir = "fleets"

// Phase is how far a fleet is.
type Phase string

// A fleet goes from Applying to Deployed to Ending to Gone. Applying and Ending are also what a run that was
// killed leaves: the same operation again takes it on.
const (
	Applying Phase = "applying" // some of it may be there
	Deployed Phase = "deployed" // all of it is there
	Ending   Phase = "ending"   // some of it may still be there
	Gone     Phase = "gone"     // nothing is there but what was kept
)

// Record is what the home folder knows about a fleet.
type Record struct {
	Request  Request   `json:"request"`
	Phase    Phase     `json:"phase"`
	Account  string    `json:"account,omitempty"`
	Bucket   string    `json:"bucket,omitempty"`
	Deployed time.Time `json:"deployed,omitzero"` // when machines began to cost
	Ended    time.Time `json:"ended,omitzero"`    // when they ceased to
	// ExpiresAt is when the dead-man switch turns the machines off.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Plan      *Plan     `json:"plan,omitempty"` // the last that was applied, for its prices
	Outputs   *Outputs  `json:"outputs,omitempty"`
}

// List returns the fleets of a home folder by name, those that are gone included.
func List(home string) ([]Record, error) {
	entries, err := os.ReadDir(filepath.Join(home, fleetsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.E("fleet.List", errs.Other, home, err)
	}
	var all []Record
	for _, e := range entries {
		r, err := Load(home, e.Name())
		if errs.KindOf(err) == errs.NotFound {
			continue // a folder in which nothing was planned yet
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Load returns what a home folder knows about one fleet, or errs.NotFound.
func Load(home, name string) (Record, error) {
	if err := checkName(name); err != nil {
		return Record{}, err
	}
	return loadRecord(filepath.Join(home, fleetsDir, name))
}

// Record returns what the home folder knows about this fleet, or errs.NotFound.
func (f *Fleet) Record() (Record, error) { return loadRecord(f.dir) }

const recordFile = "fleet.json"

func loadRecord(dir string) (Record, error) {
	var r Record
	found, err := readJSON(filepath.Join(dir, recordFile), &r)
	if err == nil && !found {
		err = errs.Errorf("", errs.NotFound, nil, "there is no fleet %s here", filepath.Base(dir))
	}
	return r, err
}

// update changes the record; a fleet without one starts with an empty one.
func (f *Fleet) update(change func(*Record)) error {
	r, err := loadRecord(f.dir)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	change(&r)
	return writeJSON(filepath.Join(f.dir, recordFile), r)
}

// readJSON reads a file; found is false, without an error, if there is none.
func readJSON(file string, v any) (found bool, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, errs.E("fleet.read", errs.Other, file, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, errs.E("fleet.read", errs.Corrupt, file, err)
	}
	return true, nil
}

// writeJSON replaces a file, which only its owner may read, as a whole.
func writeJSON(file string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return errs.E("fleet.write", errs.Internal, file, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return errs.E("fleet.write", errs.Other, file, err)
	}
	part := file + ".part"
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return errs.E("fleet.write", errs.Other, file, err)
	}
	if err := os.Rename(part, file); err != nil {
		return errs.E("fleet.write", errs.Other, file, err)
	}
	return nil
}
