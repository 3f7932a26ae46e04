package coordtest

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// watching runs a Watch beside the test. The channel is closed when the watch has ended.
func watching(t *testing.T, c coord.Coordinator, prefix string) <-chan coord.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	events := make(chan coord.Event)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(events)
		for e, err := range c.Watch(ctx, prefix) {
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("Watch: %v", err)
				}
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return events
}

// expect takes events until what they say equals want ("key" to "data", absent when deleted).
func expect(t *testing.T, events <-chan coord.Event, state, want map[coord.Key]string) {
	t.Helper()
	for !maps.Equal(state, want) {
		e, ok := <-events
		if !ok {
			t.Fatalf("the watch ended at %v, before %v", state, want)
		}
		if e.Value.Version == 0 {
			delete(state, e.Key)
		} else {
			state[e.Key] = string(e.Value.Data)
		}
	}
}

func put(t *testing.T, c coord.Coordinator, key coord.Key, data string) {
	t.Helper()
	ctx := soon(t)
	v := must[coord.Value](t)(c.Get(ctx, key))
	must[coord.Version](t)(c.Swap(ctx, key, v.Version, []byte(data)))
}

func remove(t *testing.T, c coord.Coordinator, key coord.Key) {
	t.Helper()
	ctx := soon(t)
	v := must[coord.Value](t)(c.Get(ctx, key))
	must[coord.Version](t)(c.Swap(ctx, key, v.Version, nil))
}

func watchBegins(t *testing.T, s Space) {
	c := s.Client()
	for _, key := range []coord.Key{"m/a", "m/b", "m/gone", "m2", "n/a", "m"} {
		put(t, c, key, "data of "+string(key))
	}
	remove(t, c, "m/gone")
	events := watching(t, s.Client(), "m/")
	state := map[coord.Key]string{}
	expect(t, events, state, map[coord.Key]string{"m/a": "data of m/a", "m/b": "data of m/b"})
	put(t, c, "n/b", "outside")
	put(t, c, "m/c", "new")
	if e := <-events; e.Key != "m/c" || string(e.Value.Data) != "new" || e.Value.Version == 0 {
		t.Errorf("then came %+v", e)
	}
	all := map[coord.Key]string{
		"m/a": "data of m/a", "m/b": "data of m/b", "m/c": "new", "m2": "data of m2", "m": "data of m",
	}
	expect(t, watching(t, s.Client(), "m"), map[coord.Key]string{}, all) // plain text; late, it sees all
}

func watchOrder(t *testing.T, s Space) {
	c := s.Client()
	events := watching(t, s.Client(), "k")
	for i := range 5 {
		want := fmt.Sprint(i)
		put(t, c, "k", want)
		if e := <-events; e.Key != "k" || string(e.Value.Data) != want {
			t.Fatalf("event %+v, not data %s", e, want)
		}
		remove(t, c, "k")
		if e := <-events; e.Key != "k" || e.Value.Version != 0 || len(e.Value.Data) != 0 {
			t.Fatalf("event %+v, not a deletion", e)
		}
	}
}

// watchStorm changes keys faster than the watch is read: events may be folded, but the end is right, and versions grow.
func watchStorm(t *testing.T, s Space) {
	c := s.Client()
	early, late := watching(t, s.Client(), "s/"), watching(t, s.Client(), "s/")
	want := map[coord.Key]string{}
	for i := range 300 {
		key := coord.Key(fmt.Sprintf("s/%d", i%7))
		if i%5 == 4 {
			remove(t, c, key)
			delete(want, key)
		} else {
			want[key] = fmt.Sprint(i)
			put(t, c, key, want[key])
		}
	}
	put(t, c, "s/end", "")
	want["s/end"] = ""
	for _, events := range []<-chan coord.Event{early, late} {
		state, last := map[coord.Key]string{}, map[coord.Key]coord.Version{}
		for !maps.Equal(state, want) {
			e, ok := <-events
			if !ok {
				t.Fatalf("the watch ended at %v, before %v", state, want)
			}
			if e.Value.Version == 0 {
				delete(state, e.Key)
				continue
			}
			if e.Value.Version <= last[e.Key] {
				t.Errorf("%s: version %d after %d", e.Key, e.Value.Version, last[e.Key])
			}
			state[e.Key], last[e.Key] = string(e.Value.Data), e.Value.Version
		}
	}
}

func watchEnds(t *testing.T, s Space) {
	c := s.Client()
	put(t, c, "k", "x")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range c.Watch(ctx, "k") {
		if n++; n == 1 {
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			continue
		}
		wantKind(t, "after ctx's end", err, errs.Canceled)
	}
	if n != 2 {
		t.Errorf("%d events, an end among them", n)
	}
	for range c.Watch(t.Context(), "k") {
		break // a loop that stops ends the watch
	}
}
