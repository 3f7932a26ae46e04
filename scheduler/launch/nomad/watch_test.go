package nomad

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// TestWatchBringsNothingBack lets a group be forgotten while somebody still watches it, as an application master does
// whose machine was cut off. What it sees last must not make Nomad keep the group's numbers for ever.
func TestWatchBringsNothingBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet:
			t.Errorf("%s %s", r.Method, r.URL)
		case strings.HasPrefix(r.URL.Path, "/v1/var/"):
			http.Error(w, "variable not found", http.StatusNotFound)
			return
		default:
			asked++
		}
		allocs := []*api.AllocationListStub{}
		switch asked {
		case 1:
			allocs = append(allocs, alloc(1, api.AllocClientStatusRunning, 0, nil))
		case 3:
			cancel()
		}
		w.Header().Set("X-Nomad-Index", "7")
		if err := json.NewEncoder(w).Encode(allocs); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	l, err := Open(Options{Driver: RawExec, Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, err := range l.Watch(ctx, id) {
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	if asked < 3 {
		t.Errorf("it looked %d times", asked)
	}
}

// agent is a Nomad with one group, whose container's machine was lost together with who watched the group. It has
// started another one, which nobody had numbered.
type agent struct {
	*testing.T
	step    int               // of what happens, one with each look at the allocations
	numbers map[string]string // the group's variable
	stopped []string          // allocations, each with what its successor will read
	enough  func()            // ends the watch
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/v1/var/") && r.Method == http.MethodPut:
		v := new(api.Variable)
		if err := json.NewDecoder(r.Body).Decode(v); err != nil {
			a.Error(err)
		}
		a.numbers, answer = v.Items, v
	case strings.HasPrefix(path, "/v1/var/"):
		answer = &api.Variable{Path: strings.TrimPrefix(path, "/v1/var/"), Items: a.numbers}
	case strings.HasSuffix(path, "/stop"):
		a.stopped = append(a.stopped, strings.Split(path, "/")[3]+" "+a.numbers["3"])
		answer = api.AllocStopResponse{}
	default:
		if a.step++; a.step > 9 {
			a.enough()
		}
		answer = a.allocs()
	}
	w.Header().Set("X-Nomad-Index", strconv.Itoa(a.step))
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		a.Error(err)
	}
}

// allocs are the group's allocations at a step. The second is only stopped once it has begun.
func (a *agent) allocs() []*api.AllocationListStub {
	named := func(id string, a *api.AllocationListStub) *api.AllocationListStub {
		a.ID = id
		return a
	}
	lost := named("first", alloc(1, api.AllocClientStatusLost, 0, func(a *api.AllocationListStub) {
		a.TaskStates = nil // nobody has heard that it has begun
	}))
	switch {
	case a.step == 1:
		return []*api.AllocationListStub{named("second", alloc(2, api.AllocClientStatusPending, 0, nil)), lost}
	case len(a.stopped) == 0:
		return []*api.AllocationListStub{named("second", alloc(2, api.AllocClientStatusRunning, 0, nil)), lost}
	}
	replaced := named("second", alloc(2, api.AllocClientStatusComplete, 0, func(a *api.AllocationListStub) {
		a.NextAllocation = "third"
	}))
	return []*api.AllocationListStub{named("third", alloc(3, api.AllocClientStatusRunning, 0, nil)), replaced, lost}
}

// TestWatchReplacesTheMisnamed lets a container read its number before anybody has written down that there was one
// before it. It is called what that one was, so an application master would take it for dead, and nobody would work.
func TestWatchReplacesTheMisnamed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := &agent{T: t, numbers: map[string]string{"role": "executor"}, enough: cancel}
	server := httptest.NewServer(a)
	defer server.Close()
	l, err := Open(Options{Driver: RawExec, Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var last launch.Event
	for e, err := range l.Watch(ctx, id) {
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		if err == nil {
			last = e
		}
	}
	want := launch.Event{Container: launch.Container{Role: "executor", Index: 3, Restart: 2000}, State: launch.Running}
	if !slices.Equal(a.stopped, []string{"second 2"}) || last != want {
		t.Errorf("%q were stopped, and at last %+v", a.stopped, last)
	}
}
