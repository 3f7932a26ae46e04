package namespace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// TestLimits asks for more than is allowed: it is refused, and nothing is changed.
func TestLimits(t *testing.T) {
	tree := New(Options{})
	leader, err := journal.Lead(t.Context(), mem.New(), "ns", tree, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	s := NewService(tree, leader, nil)
	huge := Request{Op: OpSetXAttr, Caller: root, Path: "/", Name: "user.a", Value: strings.Repeat("x", maxRequest)}
	if _, err := s.Do(t.Context(), huge); !isOf(err, HadoopIllegalArgument) {
		t.Errorf("a huge request: %v", err)
	}

	// Files that are being written: opened as a journal does, since that many entries would take a while.
	for i := range maxOpen {
		r := Request{Op: OpCreate, Caller: root, Path: fmt.Sprintf("/f%d", i), Holder: "h", Replication: 1, BlockSize: 1}
		if err := tree.Apply(r.encode()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Open; n != maxOpen {
		t.Fatal(n, "files are open")
	}
	create := Request{Op: OpCreate, Caller: root, Path: "/more", Holder: "h", Replication: 1, BlockSize: 1}
	if _, err := s.Do(t.Context(), create); !isOf(err, Retriable) || !errors.Is(err, errs.Unavailable) {
		t.Errorf("one file too many: %v", err)
	}
	create.Close = true
	if _, err := s.Do(t.Context(), create); err != nil {
		t.Errorf("a file that is made whole: %v", err)
	}
	done := Request{Op: OpAddBlocks, Caller: root, Path: "/f0", Holder: "h", Close: true}
	if _, err := s.Do(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	create.Path, create.Close = "/another", false
	if _, err := s.Do(t.Context(), create); err != nil {
		t.Errorf("a file in the place of one that was closed: %v", err)
	}
}

// TestALeaderThatEndsSendsClientsOn closes a leader while one request is under way, and another waits behind it.
func TestALeaderThatEndsSendsClientsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, tree := fault.New(mem.New(), 1), New(Options{})
		leader, err := journal.Lead(t.Context(), st, "ns", tree, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		st.Add(fault.Rule{Op: around.Commit, Effect: fault.Hold})
		s := NewService(tree, leader, nil)
		answers := [2]chan error{make(chan error, 1), make(chan error, 1)}
		for i, answer := range answers {
			go func() {
				_, err := s.Do(t.Context(), Request{Op: OpMkdirs, Caller: root, Path: fmt.Sprint("/", i)})
				answer <- err
			}()
			synctest.Wait()
		}
		if err := leader.Close(); err != nil {
			t.Error(err)
		}
		if err := <-answers[0]; !isOf(err, Retriable) {
			t.Error("what was under way:", err)
		}
		if err := <-answers[1]; !isOf(err, Standby) {
			t.Error("what was waiting:", err)
		}
	})
}
