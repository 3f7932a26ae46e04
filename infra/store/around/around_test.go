package around_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

// onlyStore hides the abilities of a store.
type onlyStore struct{ store.Store }

func pass(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
	return do(c.Data)
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return around.New(mem.New(), pass) })
}

func TestHookSeesEveryCall(t *testing.T) {
	var mu sync.Mutex
	var got []string
	st := around.New(mem.New(), func(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		n, err := do(c.Data)
		mu.Lock()
		defer mu.Unlock()
		if n > 0 {
			got = append(got, c.Op.String()+" "+string(c.Name)+" "+string(c.Data[:n]))
		} else {
			got = append(got, c.Op.String()+" "+string(c.Name))
		}
		return n, err
	})
	ctx := t.Context()
	if err := store.Put(ctx, st, "a", []byte("xyz"), store.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(ctx, st, "a", 10); err != nil {
		t.Fatal(err)
	}
	for range st.List(ctx, "") {
		continue
	}
	want := []string{
		"create a", "write a xyz", "commit a", "abort a", "open a", "read a xyz", "read a", "list ", "next ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAbilityOfTheWrapped(t *testing.T) {
	if _, ok := store.MultipartOf(around.New(around.New(mem.New(), pass), pass)); !ok {
		t.Error("the ability to take uploads got lost on its way through two wrappers")
	}
	st := around.New(onlyStore{mem.New()}, pass)
	if _, ok := store.MultipartOf(st); ok {
		t.Error("a wrapper claims an ability that the wrapped store lacks")
	}
	if _, err := st.BeginUpload(t.Context(), "a"); !errors.Is(err, errs.Unsupported) {
		t.Errorf("begin: %v", err)
	}
	for _, err := range st.Uploads(t.Context(), "") {
		if !errors.Is(err, errs.Unsupported) {
			t.Errorf("uploads: %v", err)
		}
	}
}
