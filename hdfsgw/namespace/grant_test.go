package namespace

import (
	"errors"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

// TestGrantsEnd has tokens end by themselves, live longer by renewing, and never longer than they may.
func TestGrantsEnd(t *testing.T) {
	tree := New(Options{})
	at := func(now int64, r Request) error {
		t.Helper()
		r.Time = now
		_, err := tree.execute(&r)
		return err
	}
	const day = grantLife
	alice, yarn := Caller{User: "alice"}, Caller{User: "yarn"}
	for range 2 {
		if err := at(0, Request{Op: OpGrant, Caller: alice, Owner: "yarn"}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(7) {
		if err := at(n*day, Request{Op: OpRenewGrant, Caller: yarn, File: 1}); err != nil {
			t.Fatalf("day %d: %v", n, err)
		}
		tree = restored(t, tree)
	}
	if g, err := tree.Grant(1, 7*day); err != nil || g.Owner != "alice" {
		t.Error(g, err)
	}
	for number, now := range map[uint64]int64{1: 7*day + 1, 2: day + 1, 3: 0} {
		if _, err := tree.Grant(number, now); !errors.Is(err, errs.Permission) {
			t.Errorf("token %d at %d: %v", number, now, err)
		}
		if err := at(now, Request{Op: OpRenewGrant, Caller: yarn, File: number}); !errors.Is(err, errs.Permission) {
			t.Errorf("token %d at %d can be renewed: %v", number, now, err)
		}
	}
	if err := at(8*day, Request{Op: OpGrant, Caller: alice}); err != nil {
		t.Fatal(err)
	}
	if _, ok := tree.grants[3]; !ok || len(tree.grants) != 1 {
		t.Error("what has ended is still there:", tree.grants)
	}
}
