package fleet

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

func TestSecretsAreMadeOnceAndForTheirOwnerAlone(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	one := func() (map[string]string, error) { return map[string]string{"node/gossip": "1"}, nil }
	first, adopted, err := f.AgreeSecrets(t.Context(), one)
	if err != nil || adopted {
		t.Fatal(adopted, err)
	}
	twice := func() (map[string]string, error) { return nil, errors.New("asked twice") }
	again, adopted, err := f.AgreeSecrets(t.Context(), twice)
	if err != nil || adopted || again["node/gossip"] != first["node/gossip"] {
		t.Errorf("got %v, %v, %v", again, adopted, err)
	}
	info, err := os.Stat(filepath.Join(f.dir, secretsFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

// keeper is a cloud whose machines read their secrets from there.
type keeper struct {
	cloud
	kept map[string]string
}

func (k *keeper) KeptSecrets(context.Context, string) (map[string]string, error) { return k.kept, nil }

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
		f, err := Open(t.TempDir(), "demo", modules, k, Options{})
		if err != nil {
			t.Fatal(err)
		}
		make := func() (map[string]string, error) { return maps.Clone(mine), nil }
		if test.known != nil {
			if _, _, err := f.AgreeSecrets(t.Context(), make); err != nil {
				t.Fatal(err)
			}
		}
		k.kept = test.kept
		got, adopted, err := f.AgreeSecrets(t.Context(), make)
		if (errs.KindOf(err) == errs.Invalid) != (test.want == nil) || !maps.Equal(got, test.want) || adopted != test.adopted {
			t.Errorf("%s: %v, adopted %v, %v", what, got, adopted, err)
		}
		known, err := f.Secrets()
		if err != nil || test.want != nil && !maps.Equal(known, test.want) {
			t.Errorf("%s: %v is known then, %v", what, known, err)
		}
	}
}
