package fleet

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

func TestSecretsAreMadeOnceAndForTheirOwnerAlone(t *testing.T) {
	made := 0
	f := newFleet(t, &cloud{}, Options{NewSecrets: func() (map[string]string, error) {
		made++
		return map[string]string{"node/gossip": strconv.Itoa(made)}, nil
	}})
	for range 2 {
		mustPlan(t, f, plain())
		if secrets, err := f.Secrets(); err != nil || secrets["node/gossip"] != "1" {
			t.Errorf("got %v, %v", secrets, err)
		}
	}
	info, err := os.Stat(filepath.Join(f.dir, secretsFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

// TestSecretsOfTwoDeploys plans a fleet while another process does so that has just seen that there are no secrets.
// Whose plan it is, its certificate and its secrets belong together.
func TestSecretsOfTwoDeploys(t *testing.T) {
	of := func(who string) (map[string]string, error) {
		return map[string]string{SecretCA: who, "node/key": who}, nil
	}
	f := newFleet(t, &cloud{}, Options{})
	other := *f
	other.options.NewSecrets = func() (map[string]string, error) { return of("the other") }
	var refused *Refusal
	f.options.NewSecrets = func() (map[string]string, error) {
		if _, err := other.Plan(t.Context(), plain(), Limits{}); !errors.As(err, &refused) || refused.Rule != RuleLocked {
			t.Errorf("the other is told %v, want rule %d", err, RuleLocked)
		}
		return of("the first")
	}
	mustPlan(t, f, plain())
	mustPlan(t, &other, plain()) // later
	var saved pending
	_, err := readJSON(filepath.Join(f.dir, pendingFile), &saved)
	secrets, readErr := f.Secrets()
	if err != nil || readErr != nil || saved.Request.CA != "the first" || secrets["node/key"] != "the first" {
		t.Errorf("the certificate is of %s, the key of %s (%v, %v)", saved.Request.CA, secrets["node/key"], err, readErr)
	}
}

// keeper is a cloud whose machines read their secrets from there.
type keeper struct {
	cloud
	kept map[string]string
}

func (k *keeper) KeptSecrets(context.Context, string) (map[string]string, error) { return k.kept, nil }

// keeping is a foreign cloud that keeps secrets, too.
type keeping struct {
	foreign
	kept map[string]string
}

func (k *keeping) KeptSecrets(context.Context, string) (map[string]string, error) { return k.kept, nil }

// TestSecretsThatAreJustMade deploys from another home what somebody is deploying, some of whose secrets are there: he
// is not told to remove it.
func TestSecretsThatAreJustMade(t *testing.T) {
	k := &keeping{kept: map[string]string{"node/ca": "theirs"}}
	k.locked, k.read = true, func() {}
	f, err := Open(t.TempDir(), "demo", modules, k, Options{NewSecrets: func() (map[string]string, error) {
		return map[string]string{"node/ca": "mine", "node/key": "mine"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Plan(t.Context(), plain(), Limits{})
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleLocked {
		t.Errorf("while they are made: %v", err)
	}
	k.locked = false
	if _, err := f.Plan(t.Context(), plain(), Limits{}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("when that was cut off: %v", err)
	}
}

// TestSecretsOfMachinesCount deploys from a home that knows secrets, or none, what has some already.
func TestSecretsOfMachinesCount(t *testing.T) {
	mine, theirs := map[string]string{"node/ca": "mine", "server/key": "mine"},
		map[string]string{"node/ca": "theirs", "server/key": "theirs"}
	part := func(of map[string]string) map[string]string { return map[string]string{"node/ca": of["node/ca"]} }
	for what, test := range map[string]struct {
		known, kept, want map[string]string
		adopted           bool
	}{
		"a new fleet":                            {want: mine},
		"a fleet from here":                      {known: mine, kept: mine, want: mine},
		"one from here whose making was cut off": {known: mine, kept: part(mine), want: mine},
		"one from elsewhere":                     {kept: theirs, want: theirs, adopted: true},
		"one that somebody else has made anew":   {known: mine, kept: theirs, want: theirs, adopted: true},
		"one from elsewhere that was cut off":    {kept: part(theirs)},
		"the same, another being known here":     {known: mine, kept: part(theirs)},
		"one beside which something else lies":   {kept: map[string]string{"my/own": "x"}, want: mine},
	} {
		k := &keeper{}
		f, err := Open(t.TempDir(), "demo", modules, k, Options{NewSecrets: func() (map[string]string, error) {
			return maps.Clone(mine), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		var r Request
		if test.known != nil {
			if _, err := f.agreeSecrets(t.Context(), &r); err != nil {
				t.Fatal(err)
			}
		}
		k.kept = test.kept
		r.CA = ""
		adopted, err := f.agreeSecrets(t.Context(), &r)
		if (errs.KindOf(err) == errs.Invalid) != (test.want == nil) || r.CA != test.want[SecretCA] || adopted != test.adopted {
			t.Errorf("%s: %v, adopted %v, %v", what, r.CA, adopted, err)
		}
		known, err := f.Secrets()
		if err != nil || test.want != nil && !maps.Equal(known, test.want) {
			t.Errorf("%s: %v is known then, %v", what, known, err)
		}
	}
}
