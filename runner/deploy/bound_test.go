package deploy

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// written is a store in which something happens before an object is made or removed.
type written struct {
	store.Store
	before func()
}

func (w written) Create(ctx context.Context, name store.Name, o ...store.CreateOption) (store.Writer, error) {
	w.before()
	return w.Store.Create(ctx, name, o...)
}

func (w written) Delete(ctx context.Context, name store.Name) error {
	w.before()
	return w.Store.Delete(ctx, name)
}

// anywhere is a place of which only the depot is asked for.
type anywhere struct {
	place
	store store.Store
}

func (a anywhere) depot(context.Context, machines.Record, fleet.OpenStore) (nodeinit.Depot, error) {
	return nodeinit.Depot{Store: a.store}, nil
}

// record writes down what is known of a fleet.
func record(t *testing.T, home string, rec machines.Record) {
	t.Helper()
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "fleets", rec.Request.Name, "fleet.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBoundsAreThoseThatAreKnown changes the bounds of a fleet otherwise while they are written down for its machines.
func TestBoundsAreThoseThatAreKnown(t *testing.T) {
	elastic := machines.Record{Request: machines.Request{Name: "night", Min: 1, Max: 4}, Phase: machines.Deployed}
	fixed := machines.Record{Request: machines.Request{Name: "night", Workers: 2}, Phase: machines.Deployed}
	for what, test := range map[string]struct{ first, then machines.Record }{
		"a fixed one":    {elastic, fixed},
		"one that grows": {fixed, elastic},
	} {
		home, st, begun := t.TempDir(), mem.New(), false
		record(t, home, test.first)
		s, err := Open(t.Context(), home, "night", Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.place = anywhere{s.place, written{st, func() {
			if !begun {
				record(t, home, test.then)
			}
			begun = true
		}}}
		if err := s.bound(t.Context()); err != nil {
			t.Fatal(err)
		}
		book, err := s.book(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		is, err := book.Settings(t.Context())
		if grows := test.then.Request.Elastic(); grows && is.Max != 4 || !grows && errs.KindOf(err) != errs.NotFound {
			t.Errorf("of %s its machines know %+v, %v", what, is, err)
		}
	}
}
