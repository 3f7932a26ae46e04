package invoke_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
)

// machines are the workers of a site, each a goroutine with a handler, on a connection of its own.
type machines struct {
	*site
	mu   sync.Mutex
	live []machine
	sets []int // how many there were to be, each time that this changed
	work sync.WaitGroup
}

type machine struct {
	conn net.Conn
	end  context.CancelFunc
}

// newMachines makes a site whose handlers are elsewhere.
func newMachines(t *testing.T, more string) *machines {
	t.Helper()
	m := &machines{}
	m.site = newSite(t, more)
	m.site.close()
	m.site.crew = m.set
	m.site.open()
	t.Cleanup(func() {
		_ = m.set(context.Background(), pack.Version{}, 0) // never fails
		m.work.Wait()
	})
	return m
}

// set is an invoke.Crew.
func (m *machines) set(_ context.Context, v pack.Version, n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sets) == 0 || m.sets[len(m.sets)-1] != n {
		m.sets = append(m.sets, n)
	}
	for len(m.live) > n {
		m.live[len(m.live)-1].end()
		m.live = m.live[:len(m.live)-1]
	}
	for i := len(m.live); i < n; i++ {
		m.live = append(m.live, m.start(v, i))
	}
	return nil
}

func (m *machines) start(v pack.Version, index int) machine {
	ctx, end := context.WithCancel(context.Background())
	here, there := net.Pipe()
	m.work.Go(func() {
		w, err := invoke.NewWorker(ctx, m.st, v.Package, filepath.Join(m.dir, "machine", fmt.Sprint(index)), nil)
		if err != nil {
			m.t.Error(err)
			return
		}
		defer w.Close()
		if err := m.host.Attach(v.Package, index, there); err != nil {
			m.t.Error(err)
			return
		}
		if err := w.Work(ctx, here); err != nil {
			m.t.Logf("worker %d: %v", index, err)
		}
	})
	return machine{here, end}
}

// lose breaks the connection of a worker, as a machine that dies does, and has another one take its place.
func (m *machines) lose(v pack.Version, index int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.live[index].conn.Close() // a pipe
	m.live[index] = m.start(v, index)
}

func (m *machines) version() pack.Version {
	m.t.Helper()
	v, err := (pack.Registry{Store: m.st}).Resolve(m.t.Context(), "grant")
	if err != nil {
		m.t.Fatal(err)
	}
	return v
}

// lines waits until a file has so many lines.
func (m *machines) lines(file string, n int) {
	m.t.Helper()
	for tick := time.NewTicker(time.Millisecond); ; {
		if text, _ := os.ReadFile(file); strings.Count(string(text), "\n") >= n {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-m.t.Context().Done():
			m.t.Fatalf("%s never has %d lines", file, n)
		}
	}
}

// none waits until all workers have been idle for too long.
func (m *machines) none() {
	m.t.Helper()
	for m.host.Handlers()["grant"] > 0 {
		select {
		case <-m.t.Context().Done():
			m.t.Fatal("workers are never ended")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestCrew: what processes elsewhere answer is what children would, and there are as many as there is work for.
func TestCrew(t *testing.T) {
	m := newMachines(t, "concurrency: 2\nidle: 20ms\n")
	inv := m.want(`{"Say":"hello"}`, invoke.Succeeded, `"hello!"`)
	if got := m.log(inv); !strings.Contains(got, "attempt 1 for \"\"\n") || inv.Took <= 0 {
		t.Errorf("its log is %q, and it took %v", got, inv.Took)
	}
	m.want(`{"Fail":"the stove is off"}`, invoke.Dead, "the stove is off")
	if inv := m.want(`{"Fail":"invalid"}`, invoke.Dead, "no such wish"); inv.Attempts != 1 {
		t.Errorf("what is invalid was tried %d times", inv.Attempts)
	}
	m.want(`{"Exit":true}`, invoke.Dead, "its handler exited with status 3, after it said: also heard out of here")
	if inv, err := m.ask(invoke.Request{Event: fmt.Appendf(nil, `{"Long":%d}`, 3<<20)}); err != nil ||
		inv.Result.Size != 3<<20+2 {
		t.Errorf("a long answer: %+v, %v", inv, err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if inv, err := m.ask(invoke.Request{Event: []byte(`{}`)}); err != nil || inv.State != invoke.Succeeded {
				t.Errorf("%+v, %v", inv, err)
			}
		})
	}
	all.Wait()
	m.none()
	m.want(`{"Say":"again"}`, invoke.Succeeded, `"again!"`)
	m.none()
	m.push("concurrency: 2\ntimeout: 100ms\n")
	m.want(`{"Hang":true}`, invoke.Dead, "it took longer than its timeout of 100ms, and its handler was killed")
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.sets {
		if n > 2 {
			t.Errorf("there were to be %v workers, and 2 are allowed", m.sets)
		}
	}
}

// TestLostMachine: an event whose machine is lost is handed to another one, and that is no attempt that has failed,
// unless it happens again and again.
func TestLostMachine(t *testing.T) {
	m := newMachines(t, "concurrency: 1\n")
	v := m.version()
	mark, ok := filepath.Join(m.dir, "mark"), filepath.Join(m.dir, "ok")
	ask := func() invoke.Invocation {
		t.Helper()
		inv, err := m.ask(invoke.Request{Async: true,
			Event: fmt.Appendf(nil, `{"Mark":%q,"Hang":true,"Until":%q,"Say":"done"}`, mark, ok)})
		if err != nil {
			t.Fatal(err)
		}
		return inv
	}
	inv := ask()
	m.lines(mark, 1)
	if err := os.WriteFile(ok, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.lose(v, 0)
	got, err := m.host.Wait(t.Context(), inv.ID)
	if err != nil || string(got.Result.Inline) != `"done"` || got.Attempts != 1 {
		t.Errorf("it is %+v, %v", got, err)
	}
	if err := os.Remove(ok); err != nil {
		t.Fatal(err)
	}
	inv = ask()
	for n := range 9 { // three for each of three attempts
		m.lines(mark, 3+n)
		m.lose(v, 0)
	}
	got, err = m.host.Wait(t.Context(), inv.ID)
	if err != nil || got.State != invoke.Dead || !strings.Contains(got.Error, "were lost") || got.Attempts != 3 {
		t.Errorf("it is %+v, %v", got, err)
	}
}

// TestWorkerTold to end finishes what it has begun.
func TestWorkerTold(t *testing.T) {
	m := newMachines(t, "concurrency: 1\n")
	mark := filepath.Join(m.dir, "mark")
	first := make(chan invoke.Invocation, 1)
	go func() {
		inv, err := m.ask(invoke.Request{Event: fmt.Appendf(nil, `{"Mark":%q,"Nap":100,"Say":"slept"}`, mark)})
		if err != nil {
			t.Error(err)
		}
		first <- inv
	}()
	m.lines(mark, 1)
	m.mu.Lock()
	m.live[0].end()
	m.live = nil
	m.mu.Unlock()
	if inv := <-first; string(inv.Result.Inline) != `"slept!"` || inv.Attempts != 1 {
		t.Errorf("it is %+v", inv)
	}
}
