package nodeinit

import (
	"context"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// lists is a store in which something happens when a list of it was made.
type lists struct {
	store.Store
	listed func()
}

func (l lists) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		var all []store.Info
		for info, err := range l.Store.List(ctx, prefix) {
			if err != nil {
				yield(info, err)
				return
			}
			all = append(all, info)
		}
		l.listed()
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// TestReportsOfMachinesThatGo ends a machine, and with it its report, while somebody reads the reports.
func TestReportsOfMachinesThatGo(t *testing.T) {
	st := mem.New()
	d := Depot{Store: lists{st, func() {
		if err := st.Delete(t.Context(), "boot/worker-1"); err != nil {
			t.Error(err)
		}
	}}}
	for _, name := range []string{"server-1", "worker-1", "worker-2"} {
		if err := d.report(t.Context(), Report{Machine: name, State: Ready}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for r, err := range d.Reports(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, r.Machine)
	}
	if !slices.Equal(names, []string{"server-1", "worker-2"}) {
		t.Errorf("there are reports of %v", names)
	}
}

// creates is a store in which something happens before an object is made.
type creates struct {
	store.Store
	before func()
}

func (c creates) Create(ctx context.Context, name store.Name, o ...store.CreateOption) (store.Writer, error) {
	c.before()
	return c.Store.Create(ctx, name, o...)
}

// TestLastReportComesLast tells a machine to end while its word that something does not work is on its way.
func TestLastReportComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		st := mem.New()
		n := &node{
			Machine: Machine{Name: "worker-1", Role: Worker}, options: Options{Log: slog.New(slog.DiscardHandler)},
		}
		var reports int
		var drains Report // what was said before the end
		n.depot.Store = creates{st, func() {
			switch reports++; reports {
			case 1:
				end()
				synctest.Wait()
			case 3:
				for r, err := range (Depot{Store: st}).Reports(t.Context()) {
					if drains = r; err != nil {
						t.Error(err)
					}
				}
			}
		}}
		n.children = []*child{{name: "sick", log: filepath.Join(t.TempDir(), "none", "log")}} // can't be started
		n.live(ctx, nil)
		if reports != 3 || drains.State != Draining {
			t.Errorf("before the last of %d reports it says that it is %s", reports, drains.State)
		}
	})
}
