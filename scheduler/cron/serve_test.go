package cron

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordfault "github.com/seed3322913c/runner/infra/coord/fault"
	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// yard is a Runner whose work takes time. It outlives those who serve.
type yard struct {
	sync.Mutex
	takes time.Duration
	drawn int
	works map[string]*work // by id
}

type work struct {
	firing Firing
	ends   time.Time
	state  State // when it is over
}

func newYard(takes time.Duration) *yard { return &yard{takes: takes, works: map[string]*work{}} }

func (y *yard) Name(context.Context, string) (string, error) {
	y.Lock()
	defer y.Unlock()
	y.drawn++
	return fmt.Sprintf("job-%d", y.drawn), nil
}

func (y *yard) Ensure(_ context.Context, _ Schedule, f Firing) (Outcome, error) {
	y.Lock()
	defer y.Unlock()
	w := y.works[f.ID]
	if w == nil {
		w = &work{firing: f, ends: time.Now().Add(y.takes), state: Succeeded}
		y.works[f.ID] = w
	}
	if time.Now().Before(w.ends) {
		return Outcome{State: Running}, nil
	}
	return Outcome{State: w.state}, nil
}

func (y *yard) Kill(_ context.Context, f Firing, _ string) error {
	y.Lock()
	defer y.Unlock()
	if w := y.works[f.ID]; w != nil && time.Now().Before(w.ends) {
		w.ends, w.state = time.Now(), Killed
	}
	return nil
}

// bySlot counts the works of each slot.
func (y *yard) bySlot() map[string]int {
	y.Lock()
	defer y.Unlock()
	n := map[string]int{}
	for _, w := range y.works {
		n[w.firing.Slot.UTC().Format(time.RFC3339)+w.firing.Trigger]++
	}
	return n
}

func every(t *testing.T, b Book, cron string, change func(*Schedule)) Schedule {
	s := Schedule{Name: "s", Cron: cron, Overlap: Queue, CatchUp: 5, Since: time.Now(), Work: json.RawMessage(`1`)}
	if change != nil {
		change(&s)
	}
	if err := b.Add(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Three serve at once; leases are lost, processes die, the store fails and loses answers. Still each slot fires once.
func TestEachSlotFiresOnce(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { serveWithTrouble(t, seed) })
		})
	}
}

func serveWithTrouble(t *testing.T, seed uint64) {
	objects, agreed, yard := mem.New(), coordmem.New(), newYard(20*time.Second)
	schedule := every(t, Book{objects}, "* * * * *", nil)
	troubled := fault.New(objects, seed,
		fault.Rule{Op: around.Commit, Match: "firings/", Chance: 0.1, Effect: fault.LoseReply},
		fault.Rule{Op: around.Any, Chance: 0.05},
	)
	ctx, stop := context.WithCancel(t.Context())
	var servers sync.WaitGroup
	for i := range 3 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		servers.Go(func() {
			for life := uint64(0); ctx.Err() == nil; life++ {
				c := coordfault.New(agreed, seed+life, coordfault.Rule{Op: coordfault.Get, Chance: 0.01})
				lived, end := context.WithTimeout(ctx, time.Duration(30+random.IntN(300))*time.Second)
				err := Serve(lived, Book{troubled}, c, yard, Options{Address: fmt.Sprint("server-", i)})
				end()
				if errs.KindOf(err) != errs.Canceled {
					t.Error(err)
				}
			}
		})
	}
	servers.Go(func() {
		for ctx.Err() == nil { // leaders lose their leases in the midst of their work
			select {
			case <-ctx.Done():
			case <-time.After(97 * time.Second):
				agreed.Expire(LeaderKey)
			}
		}
	})
	began := time.Now()
	time.Sleep(time.Hour + 30*time.Second) // of the bubble's clock
	slots := yard.bySlot()
	stop()
	servers.Wait()
	table, err := schedule.Timetable()
	if err != nil {
		t.Fatal(err)
	}
	for slot := table.Next(began); slot.Before(began.Add(time.Hour)); slot = table.Next(slot) {
		key := slot.UTC().Format(time.RFC3339)
		if slots[key] != 1 {
			t.Errorf("slot %s has fired %d times", key, slots[key])
		}
	}
}

// A leader that was paused at its slot comes back beside its successor, still holding what it knew: the journal refuses
// what it decides before anything is started, whichever of the two is quicker.
func TestPausedLeaderFiresNothing(t *testing.T) {
	for name, quicker := range map[string]bool{"before its successor": true, "after its successor": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book, yard := Book{mem.New()}, newYard(time.Hour)
				every(t, book, "* * * * *", nil)
				paused, successor := leads(t, book, yard), leads(t, book, yard)
				time.Sleep(time.Minute + time.Second)
				if !quicker {
					if _, err := successor.round(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := paused.round(t.Context()); errs.KindOf(err) != errs.Fenced || quicker && len(yard.works) > 0 {
					t.Errorf("it was told %v, and there are %d works", err, len(yard.works))
				}
				if _, err := successor.round(t.Context()); err != nil || len(yard.works) != 1 {
					t.Errorf("%v, and there are %d works", err, len(yard.works))
				}
			})
		})
	}
}

// leads returns a leader that has sealed the journal of a book.
func leads(t *testing.T, b Book, r Runner) *leader {
	t.Helper()
	l := &leader{book: b, runner: r, history: &History{}}
	l.o.fill()
	var err error
	if l.journal, err = journal.Lead(t.Context(), b.Store, logPrefix, l.history, journal.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.journal.Close() }) // writes nothing
	return l
}

// What was removed is watched to its end and then forgotten; a schedule of the same name starts afresh.
func TestServeOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		book, yard := Book{mem.New()}, newYard(90*time.Second)
		every(t, book, "0 * * * *", func(s *Schedule) { s.Overlap = Replace })
		done := make(chan error)
		go func() { done <- Serve(ctx, book, coordmem.New(), yard, Options{}) }()
		time.Sleep(time.Hour + time.Second)
		want(t, book, "s", Running)
		if _, err := book.Trigger(ctx, "s", "", time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		want(t, book, "s", Running, Waiting)
		time.Sleep(90 * time.Second)
		want(t, book, "s", Succeeded, Running)
		if err := book.Remove(ctx, "s"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		want(t, book, "s", Succeeded, Running)
		time.Sleep(70 * time.Second)
		want(t, book, "s")
		every(t, book, "*/30 * * * *", func(s *Schedule) { s.Overlap = Replace })
		time.Sleep(30 * time.Minute)
		yard.Lock()
		yard.takes = time.Hour
		yard.Unlock()
		time.Sleep(time.Hour)
		want(t, book, "s", Succeeded, Killed, Running)
		stop()
		if err := <-done; errs.KindOf(err) != errs.Canceled {
			t.Fatal(err)
		}
	})
}

// A damaged schedule does not keep the others from firing, nor is it forgotten.
func TestDamagedSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		book, yard := Book{mem.New()}, newYard(time.Second)
		every(t, book, "* * * * *", nil)
		if err := store.Put(ctx, book.Store, scheduleObject("bad"), []byte("{")); err != nil {
			t.Fatal(err)
		}
		told := make(chan error, 1)
		done := make(chan error)
		go func() {
			done <- Serve(ctx, book, coordmem.New(), yard, Options{OnError: func(err error) {
				select {
				case told <- err:
				default:
				}
			}})
		}()
		time.Sleep(time.Minute + 3*time.Second)
		want(t, book, "s", Succeeded)
		if err := <-told; errs.KindOf(err) != errs.Corrupt {
			t.Errorf("told %v", err)
		}
		if _, err := book.All(ctx); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("All says %v", err)
		}
		stop()
		<-done
	})
}

func want(t *testing.T, b Book, name string, states ...State) {
	t.Helper()
	h, err := b.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []State
	for _, f := range h.Of(name).Firings {
		got = append(got, f.State)
	}
	if fmt.Sprint(got) != fmt.Sprint(states) {
		t.Fatalf("after %v: %v, want %v", time.Now(), got, states)
	}
}

func TestBook(t *testing.T) {
	b, ctx, now := Book{mem.New()}, t.Context(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := Schedule{Name: "a", Cron: "0 2 * * *", Overlap: Skip, Since: now, Work: json.RawMessage(`{}`)}
	if err := b.Add(ctx, good); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(ctx, good); errs.KindOf(err) != errs.Exist {
		t.Errorf("added twice: %v", err)
	}
	for name, change := range map[string]func(*Schedule){
		"name":     func(s *Schedule) { s.Name = "A/../b" },
		"cron":     func(s *Schedule) { s.Cron = "0 0 30 2 *" },
		"overlap":  func(s *Schedule) { s.Overlap = "perhaps" },
		"catch up": func(s *Schedule) { s.CatchUp = -1 },
		"jitter":   func(s *Schedule) { s.Jitter = -1 },
		"work":     func(s *Schedule) { s.Work = nil },
	} {
		bad := good
		change(&bad)
		if err := b.Replace(ctx, bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("a bad %s: %v", name, err)
		}
	}
	if _, err := b.Trigger(ctx, "nobody", "", now); errs.KindOf(err) != errs.NotFound {
		t.Errorf("triggered what is not there: %v", err)
	}
	if _, err := b.Trigger(ctx, "a", "../b", now); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an id that can't be: %v", err)
	}
	if _, err := b.Get(ctx, "../a"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a name that can't be: %v", err)
	}
	all, err := b.All(ctx)
	if err != nil || len(all) != 1 || all[0].Name != "a" {
		t.Errorf("all: %v, %v", all, err)
	}
}

func TestFill(t *testing.T) {
	s := Schedule{Name: "nightly", Zone: "Europe/Paris"}
	slot := time.Date(2026, 6, 30, 22, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"out/{{.FireTime}}":                     "out/20260630T223000Z",
		"{{ .FireDate }}/{{.FireHour}}":         "2026-07-01/00",
		"s3://b/{{.Schedule}}/x {not} {{.a}":    "s3://b/nightly/x {not} {{.a}",
		"a day is {{.FireDate}}, {{.FireDate}}": "a day is 2026-07-01, 2026-07-01",
	} {
		if got, err := s.Fill(text, slot); err != nil || got != want {
			t.Errorf("Fill(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"{{.Fire}}", "{{}}", "{{range .X}}", "{{FireTime}}"} {
		if _, err := s.Fill(text, slot); errs.KindOf(err) != errs.Invalid {
			t.Errorf("Fill(%q) fails with %v", text, err)
		}
	}
}

// Whatever a snapshot or a record holds, nothing panics, and what was kept is kept.
func FuzzHistory(f *testing.F) {
	for _, r := range []string{`{"firing":{"schedule":"s","state":"RUNNING"}}`, `{"forget":"s"}`, `{}`, `[`} {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &History{}
		if err := h.Restore(nil); err != nil {
			t.Fatal(err)
		}
		if err := h.Apply(data); err != nil && errs.KindOf(err) != errs.Corrupt {
			t.Fatal(err)
		}
		before, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := h.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		again := &History{}
		if err := again.Restore(snapshot.(interface {
			Read([]byte) (int, error)
		})); err != nil {
			t.Fatal(err)
		}
		if after, err := json.Marshal(again); err != nil || string(after) != string(before) {
			t.Fatalf("%s became %s, %v", before, after, err)
		}
	})
}
