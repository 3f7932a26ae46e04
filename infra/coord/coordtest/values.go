package coordtest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

func values(t *testing.T, s Space) {
	ctx, c, other := soon(t), s.Client(), s.Client()
	get := func() string {
		v := must[coord.Value](t)(other.Get(ctx, "a/b"))
		return fmt.Sprintf("%d:%s", v.Version, v.Data)
	}
	if got := get(); got != "0:" {
		t.Errorf("an absent key holds %s", got)
	}
	_, err := c.Swap(ctx, "a/b", 7, []byte("x"))
	wantKind(t, "Swap of an absent key that should exist", err, errs.Exist)

	data := []byte("one")
	v1 := must[coord.Version](t)(c.Swap(ctx, "a/b", 0, data))
	data[0] = 'X' // the driver keeps its own bytes
	if got := get(); v1 == 0 || got != fmt.Sprintf("%d:one", v1) {
		t.Errorf("after the first Swap, of version %d: %s", v1, got)
	}
	for _, old := range []coord.Version{0, v1 + 1} {
		_, err = c.Swap(ctx, "a/b", old, []byte("x"))
		wantKind(t, "Swap with another version", err, errs.Exist)
		_, err = c.Swap(ctx, "a/b", old, nil)
		wantKind(t, "deletion with another version", err, errs.Exist)
	}
	if got := get(); got != fmt.Sprintf("%d:one", v1) {
		t.Errorf("a Swap that failed left %s", got)
	}
	v2 := must[coord.Version](t)(other.Swap(ctx, "a/b", v1, []byte{}))
	if got := get(); v2 <= v1 || got != fmt.Sprintf("%d:", v2) {
		t.Errorf("after an empty value of version %d: %s", v2, got)
	}
	if v := must[coord.Version](t)(c.Swap(ctx, "a/b", v2, nil)); v != 0 {
		t.Errorf("a deletion returned version %d", v)
	}
	if got := get(); got != "0:" {
		t.Errorf("a deleted key holds %s", got)
	}
}

func versionsNeverRepeat(t *testing.T, s Space) {
	ctx, c := soon(t), s.Client()
	var last coord.Version
	for range 5 {
		v := must[coord.Version](t)(c.Swap(ctx, "k", 0, []byte("same")))
		if v <= last {
			t.Errorf("version %d after %d", v, last)
		}
		last = v
		must[coord.Version](t)(c.Swap(ctx, "k", v, nil))
	}
}

func longest(t *testing.T, s Space) {
	ctx, c := soon(t), s.Client()
	data := strings.Repeat("v", coord.MaxValue)
	for _, key := range []coord.Key{
		coord.Key(strings.Repeat("k", coord.MaxKey)), coord.Key(strings.Repeat("k/", coord.MaxKey/2-1) + "k"),
		"-", "_", "a.b", "...", "A", "a", // names that a file system might confuse
	} {
		v := must[coord.Version](t)(c.Swap(ctx, key, 0, []byte(data)))
		if got := must[coord.Value](t)(c.Get(ctx, key)); got.Version != v || string(got.Data) != data {
			t.Errorf("%.20s holds %d bytes of version %d, not what was put there", key, len(got.Data), got.Version)
		}
		release(t, acquire(t, c, key))
	}
}

// swapRace lets several count with compare-and-set: no increment is lost, and of those who saw one version one wins.
func swapRace(t *testing.T, s Space) {
	const clients, each = 6, 20
	ctx := soon(t)
	var mu sync.Mutex
	won := map[coord.Version]int{} // how many swaps succeeded from a version
	var wg sync.WaitGroup
	for range clients {
		c := s.Client()
		wg.Go(func() {
			for done := 0; done < each; {
				v, err := c.Get(ctx, "n")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(v.Data)) // absent is empty is 0
				_, err = c.Swap(ctx, "n", v.Version, strconv.AppendInt(nil, int64(n+1), 10))
				if errors.Is(err, errs.Exist) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				done++
				mu.Lock()
				won[v.Version]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for v, n := range won {
		if n != 1 {
			t.Errorf("%d swaps from version %d succeeded", n, v)
		}
	}
	if v := must[coord.Value](t)(s.Client().Get(ctx, "n")); string(v.Data) != strconv.Itoa(clients*each) {
		t.Errorf("counted to %s, not %d", v.Data, clients*each)
	}
}
