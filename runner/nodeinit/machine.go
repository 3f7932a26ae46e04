package nodeinit

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// Role is what a machine is for.
type Role string

// The roles.
const (
	Server Role = "server" // keeps what the fleet agrees on: Consul and Nomad servers
	Worker Role = "worker" // runs containers: Consul and Nomad clients
	Store  Role = "store"  // serves objects, where no cloud does
)

// Machine describes a machine of a fleet to itself. There is no secret in it.
type Machine struct {
	Cluster  string            `json:"cluster"`
	Name     string            `json:"name"` // no other machine of the cluster has it
	Role     Role              `json:"role"`
	Address  string            `json:"address"`  // an IP address, by which the others reach it
	Servers  []string          `json:"servers"`  // addresses of some servers, better all
	Expect   int               `json:"expect"`   // how many servers there are to be
	Dir      string            `json:"dir"`      // folder for all that the machine keeps
	Bin      string            `json:"bin"`      // folder of the programs; machines of one host share it
	Binaries map[string]string `json:"binaries"` // SHA-256 by name, as the depot has them under bin/
	Depot    string            `json:"depot"`    // URI of what programs come from, and reports go to
	Jobs     string            `json:"jobs"`     // URI of the store of the cluster's jobs
	Files    string            `json:"files"`    // URI of the store of the cluster's gateways
	Store    string            `json:"store"`    // address of the cluster's own store; "": the cloud has one
	Env      map[string]string `json:"env"`      // what the tools of the cloud's store need
	Data     string            `json:"data"`     // of a store: folder of the objects
	// Deadline is a file with the time at which the machine ends itself; "": somebody else does that.
	Deadline string `json:"deadline"`
	// Pool says how servers change the number of workers: "local:FOLDER", "aws:REGION/CLUSTER"; "": nobody does.
	Pool string `json:"pool,omitempty"`
	// Driver is how containers are started; "": exec.
	Driver nomad.Driver `json:"driver,omitempty"`
	// Incarnation differs between machines that had the name one after the other.
	Incarnation string `json:"incarnation,omitempty"`
}

// Check returns an error of kind Invalid if the description is not one.
func (m Machine) Check() error {
	const op = "nodeinit.Machine"
	_, err := netip.ParseAddr(m.Address)
	switch {
	case m.Name == "" || m.Cluster == "":
		return errs.Errorf(op, errs.Invalid, m.Name, "a machine has a name, and so has its cluster")
	case !slices.Contains([]Role{Server, Worker, Store}, m.Role):
		return errs.Errorf(op, errs.Invalid, m.Name, "role %q is none of server, worker, store", m.Role)
	case err != nil:
		return errs.E(op, errs.Invalid, m.Name, err)
	case m.Role != Store && (len(m.Servers) == 0 || m.Expect < 1):
		return errs.Errorf(op, errs.Invalid, m.Name, "it has no servers to join")
	case !filepath.IsAbs(m.Dir) || !filepath.IsAbs(m.Bin):
		return errs.Errorf(op, errs.Invalid, m.Name, "its folders %q and %q are not absolute", m.Dir, m.Bin)
	}
	return nil
}

// ParseMachine reads a description.
func ParseMachine(text []byte) (Machine, error) {
	var m Machine
	if err := json.Unmarshal(text, &m); err != nil {
		return m, errs.E("nodeinit.ParseMachine", errs.Invalid, nil, err)
	}
	return m, m.Check()
}

// loopback reports whether the machine is one of several on one host, which are told apart by addresses of 127/8.
func (m Machine) loopback() bool {
	address, err := netip.ParseAddr(m.Address)
	return err == nil && address.IsLoopback()
}

// File is a file in the machine's folder.
func (m Machine) File(name string) string { return filepath.Join(m.Dir, name) }

// Program is the path of one of the machine's programs.
func (m Machine) Program(name string) string { return filepath.Join(m.Bin, name) }

// Source is where a machine learns what it is.
type Source interface {
	// Machine describes the machine. It waits for what is not known yet, a server's address say, until ctx ends.
	Machine(ctx context.Context) (Machine, error)
	// Secret returns one of the cluster's secrets: "server/..." for servers alone, "node/..." for all machines.
	Secret(ctx context.Context, name string) (string, error)
}

// Finder is the ability of a Source whose machines don't know at first whom to join.
type Finder interface {
	// Servers waits until enough servers are there to join, or ctx ends, and returns their addresses.
	Servers(ctx context.Context) ([]string, error)
}

// Leaver is the ability of a Source that wants to hear when its machine is a member no more.
type Leaver interface {
	Left(ctx context.Context) error
}

// Stopper is the ability of a Source whose machines can end their whole fleet.
type Stopper interface {
	Stop(ctx context.Context) error
}

// Files is the Source of a machine on this host: its description, and the secrets of its cluster, lie in files that
// their owner alone reads.
type Files struct {
	Description string // file
	Secrets     string // folder
}

// Machine reads the description.
func (f Files) Machine(context.Context) (Machine, error) {
	text, err := os.ReadFile(f.Description)
	if err != nil {
		return Machine{}, errs.E("nodeinit.Files", errs.Other, f.Description, err)
	}
	return ParseMachine(text)
}

// Secret reads the file of a secret.
func (f Files) Secret(_ context.Context, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(f.Secrets, filepath.FromSlash(name)))
	if err != nil {
		return "", errs.E("nodeinit.Files", errs.Other, name, err)
	}
	return string(text), nil
}

// ReadDeadline reads a file with a time in it, as WriteDeadline writes it.
func ReadDeadline(file string) (time.Time, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, errs.E("nodeinit.ReadDeadline", errs.Other, file, err)
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return at, errs.E("nodeinit.ReadDeadline", errs.Corrupt, file, err)
	}
	return at, nil
}

// WriteDeadline replaces the time in a file, which is whole at every moment, whoever else does so meanwhile.
func WriteDeadline(file string, at time.Time) error {
	const op = "nodeinit.WriteDeadline"
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+"-*.part") // for its owner alone
	if err != nil {
		return errs.E(op, errs.Other, file, err)
	}
	defer os.Remove(part.Name()) // if it has not got its name
	_, err = part.WriteString(at.UTC().Format(time.RFC3339))
	if err = errors.Join(err, part.Close()); err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return errs.E(op, errs.Other, file, err)
	}
	return nil
}
