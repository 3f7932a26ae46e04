package shuffle

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// depotIn returns a depot in a folder.
func depotIn(t testing.TB, root string, o Options, wrap func(store.Store) store.Store) *Depot {
	t.Helper()
	st, err := file.New(root, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return NewDepot(wrap(st), o)
}

// reading is a store whose readers are wrapped.
type reading struct {
	store.Store
	opened []store.Range
	wrap   func(n int, body io.Reader) io.Reader // n: how often the data was opened before
}

func (s *reading) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	body, err := s.Store.Open(ctx, name, r)
	if err != nil || name != segmentName(job, attempt, segment.DataName) {
		return body, err
	}
	s.opened = append(s.opened, r)
	return struct {
		io.Reader
		io.Closer
	}{s.wrap(len(s.opened)-1, body), body}, nil
}

// fetchThrough keeps a segment in a depot and fetches it from there, by readers that are wrapped.
func fetchThrough(t *testing.T, o Options, wrap func(n int, body io.Reader) io.Reader) (*reading, *segment.Range, error) {
	t.Helper()
	var st *reading
	depot := depotIn(t, t.TempDir(), o, func(inner store.Store) store.Store {
		st = &reading{Store: inner, wrap: wrap}
		return st
	})
	dir := node(t, 3000)
	if err := depot.Keep(t.Context(), job, attempt, dir+"/"+string(job)+"/"+attempt.String()); err != nil {
		t.Fatal(err)
	}
	r, err := depot.Fetch(t.Context(), Source{Job: job, Attempt: attempt, Lo: 2, Hi: parts}, memory(t))
	if err == nil && content(t, r) != want(t, dir, 2, parts) {
		t.Error("other bytes")
	}
	return st, r, err
}

// TestDepotResumes breaks reads again and again, each a little later.
func TestDepotResumes(t *testing.T) {
	broken := iotest.ErrReader(errs.Errorf("test", errs.Unavailable, nil, "broken"))
	st, r, err := fetchThrough(t, Options{}, func(n int, body io.Reader) io.Reader {
		if n == 8 {
			return body
		}
		return io.MultiReader(io.LimitReader(body, int64(n+1)*5_000), broken)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(st.opened) != 9 || st.opened[8].Offset-st.opened[7].Offset != 40_000 {
		t.Errorf("opened %v", st.opened)
	}
}

func TestDepotDamagedOnTheWay(t *testing.T) {
	st, r, err := fetchThrough(t, Options{}, func(n int, body io.Reader) io.Reader {
		if n > 0 {
			return body
		}
		return io.MultiReader(iotest.OneByteReader(io.LimitReader(body, 1000)), &garbled{body})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(st.opened) != 2 {
		t.Errorf("opened %v", st.opened)
	}
}

// garbled changes every byte.
type garbled struct{ io.Reader }

func (g *garbled) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

func TestDepotLostPerhaps(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"broken": iotest.ErrReader(errs.Errorf("test", errs.Unavailable, nil, "broken")),
		"odd":    iotest.ErrReader(errors.New("odd")),
	} {
		_, _, err := fetchThrough(t, impatient(), func(int, io.Reader) io.Reader { return body })
		t.Log(name, err)
		lost(t, err, false)
	}
}

// TestDepotOwnTrouble: what the store does not allow is not blamed on the map.
func TestDepotOwnTrouble(t *testing.T) {
	denied := errs.Errorf("test", errs.Permission, nil, "no")
	depot := depotIn(t, t.TempDir(), Options{}, func(st store.Store) store.Store {
		return fault.New(st, 0, fault.Rule{Op: around.Open, Err: denied}, fault.Rule{Op: around.Create, Err: denied})
	})
	_, err := depot.Fetch(t.Context(), Source{Job: job, Attempt: attempt, Hi: 1}, memory(t))
	var l *scheduler.InputLost
	if errs.KindOf(err) != errs.Permission || errors.As(err, &l) {
		t.Errorf("fetch: %v", err)
	}
	err = depot.Keep(t.Context(), job, attempt, node(t, 10)+"/"+string(job)+"/"+attempt.String())
	if errs.KindOf(err) != errs.Permission {
		t.Errorf("keep: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = depot.Fetch(ctx, Source{Job: job, Attempt: attempt, Hi: 1}, memory(t))
	if errs.KindOf(err) != errs.Canceled {
		t.Errorf("ended ctx: %v", err)
	}
}

func TestDepotDrop(t *testing.T) {
	var st store.Store
	depot := depotIn(t, t.TempDir(), Options{}, func(inner store.Store) store.Store { st = inner; return st })
	files := node(t, 10) + "/" + string(job) + "/" + attempt.String()
	other := scheduler.AttemptID{Task: attempt.Task, N: 7}
	for range 2 { // an attempt may be kept again
		if err := errors.Join(depot.Keep(t.Context(), job, attempt, files), depot.Keep(t.Context(), job, other, files),
			depot.Keep(t.Context(), "bbbb-other", attempt, files)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := depot.Drop(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, st.List(t.Context(), "")); n != 2 {
		t.Errorf("%d objects are left", n)
	}
}

func count(t *testing.T, list iter.Seq2[store.Info, error]) (n int) {
	t.Helper()
	for _, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// BenchmarkSmall reports what one partition of a kilobyte costs a reducer: from the node's server, from the store, and
// from its own disk.
func BenchmarkSmall(b *testing.B) {
	dir := node(b, 30)
	into := memory(b)
	all := places(b, dir)
	all["disk"] = place{fetch: func(lo, hi int, _ segment.ReceiveOptions) (*segment.Range, error) {
		return segment.Open(filepath.Join(dir, string(job), attempt.String()), lo, hi)
	}}
	c := NewClient(Options{})
	defer c.Close()
	addr := start(b, serverOf(dir))
	all["server"] = place{fetch: func(lo, hi int, into segment.ReceiveOptions) (*segment.Range, error) {
		return c.Fetch(b.Context(), Source{addr, job, attempt, lo, hi, secret}, into)
	}}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := all[name].fetch(1, 2, into)
				if err != nil {
					b.Fatal(err)
				}
				if len(content(b, r)) == 0 {
					b.Fatal("nothing")
				}
				r.Close()
			}
		})
	}
}
