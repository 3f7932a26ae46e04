package amrpc_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/amrpc"
)

func TestEndpoint(t *testing.T) {
	for _, e := range []amrpc.Endpoint{{Address: "10.0.0.1:7", Epoch: 9}, {Epoch: 9, Over: true}} {
		if got, err := amrpc.ParseEndpoint(e.Encode()); err != nil || got != e {
			t.Errorf("%+v: %+v, %v", e, got, err)
		}
	}
	for _, bad := range []string{
		"", "{}", `{"address":"x"}`, `{"epoch":1}`, `{"address":"x","epoch":1,"over":true}`, `{"address":1}`,
	} {
		if got, err := amrpc.ParseEndpoint([]byte(bad)); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %+v, %v", bad, got, err)
		}
	}
}

func TestFollow(t *testing.T) {
	const job = "abcd-x"
	c := mem.New()
	a := amrpc.Endpoint{Address: "a:1", Epoch: 3}
	put := func(key coord.Key, value []byte) {
		t.Helper()
		v, err := c.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Swap(t.Context(), key, v.Version, value); err != nil {
			t.Fatal(err)
		}
	}
	put(amrpc.Key(job)+"x", []byte("another key that begins like it"))
	put(amrpc.Key(job), a.Encode())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := []func(){
		func() {
			put(amrpc.Key(job), amrpc.Endpoint{Address: "stale:1", Epoch: 2}.Encode()) // may be folded into the next
			put(amrpc.Key(job), amrpc.Endpoint{Address: "b:1", Epoch: 8}.Encode())
		},
		func() { put(amrpc.Key(job), nil); put(amrpc.Key(job), amrpc.Endpoint{Epoch: 8, Over: true}.Encode()) },
		cancel,
	}
	var got []amrpc.Endpoint
	for e, err := range amrpc.Follow(ctx, c, job) {
		if err != nil {
			if errs.KindOf(err) != errs.Canceled {
				t.Error(err)
			}
			break
		}
		got = append(got, e)
		steps[0]()
		steps = steps[1:]
	}
	want := []amrpc.Endpoint{a, {Address: "b:1", Epoch: 8}, {Epoch: 8, Over: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
