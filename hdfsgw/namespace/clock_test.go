package namespace

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// TestClockJumps has the wall clock jump by a day, both ways, while somebody writes.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var off time.Duration
			tree := New(Options{})
			leader, err := journal.Lead(t.Context(), mem.New(), "journal", tree, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := NewService(tree, leader, func() time.Time { return time.Now().Add(off) })
			root := Caller{User: "root", Super: true}
			do := func(r Request) {
				t.Helper()
				r.Caller = root
				if _, err := s.Do(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			open := func() bool {
				do(Request{Op: OpExpireLeases, Limit: 60_000})
				return tree.Stats().Open == 1
			}
			do(Request{Op: OpCreate, Path: "/f", Holder: "writer"})
			time.Sleep(30 * time.Second) // of the bubble's clock
			off = jump
			if !open() {
				t.Errorf("%v: a file was closed after 30 s", jump)
			}
			time.Sleep(20 * time.Second)
			do(Request{Op: OpRenewLease, Holder: "writer"})
			time.Sleep(50 * time.Second)
			if !open() {
				t.Errorf("%v: a file was closed 50 s after its writer was heard of", jump)
			}
			time.Sleep(18 * time.Second)
			if open() {
				t.Errorf("%v: a file is open 68 s after its writer was heard of", jump)
			}
			time.Sleep(11 * 24 * time.Hour)
			s.Now()
			time.Sleep(time.Second)
			if d := time.Now().Add(off).UnixMilli() - s.Now(); d < -1 || d > 1 {
				t.Errorf("%v: %d ms beside the wall clock after 11 days", jump, d)
			}
			if err := leader.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestANewLeaderHasHeardOfAll holds that writers get all their time from a leader whose clock is another one.
func TestANewLeaderHasHeardOfAll(t *testing.T) {
	tree := New(Options{})
	must(t, tree, Request{Op: OpCreate, Caller: Caller{Super: true}, Path: "/f", Holder: "writer", Time: 1e12})
	for _, now := range []int64{2e12, 1e11} { // ahead of the first leader's clock, and behind
		must(t, tree, Request{Op: OpRenewLease, Caller: Caller{Super: true}, Time: now})
		must(t, tree, Request{Op: OpExpireLeases, Caller: Caller{Super: true}, Time: now + 9, Limit: 10})
		if tree.Stats().Open != 1 {
			t.Fatal("closed too early")
		}
	}
	if _, err := do(t, tree, Request{Op: OpRenewLease, Caller: Caller{User: "bob"}, Time: 3e12}); err == nil {
		t.Error("anybody may renew all leases")
	}
	must(t, tree, Request{Op: OpExpireLeases, Caller: Caller{Super: true}, Time: 1e11 + 11, Limit: 10})
	if tree.Stats().Open != 0 {
		t.Error("it is still open")
	}
}
