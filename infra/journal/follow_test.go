package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
)

func TestFollowerKeepsUpAndIsPromotedWithoutReloading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, s := mem.New(), &values{}
		l := lead(t, st, &values{}, journal.Options{})
		f, err := journal.Follow(st, "j", s, journal.Options{Poll: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 { // more than are read ahead
			appendAll(t, l, fmt.Sprint(i))
			if i%10 == 9 {
				if err := f.CatchUp(t.Context()); err != nil || len(s.get()) != i+1 {
					t.Fatalf("after %d appends it has %d records, %v", i+1, len(s.get()), err)
				}
				checkpoint(t, l)
			}
		}
		next, err := f.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		if s.restores != 1 {
			t.Errorf("it loaded the state %d times", s.restores)
		}
		appendAll(t, next, "mine")
		if err := l.Append(t.Context()); !errors.Is(err, errs.Fenced) {
			t.Errorf("the old leader: %v", err)
		}
		if got := read(t, st); len(got) != 41 || !slices.Equal(got, s.get()) {
			t.Errorf("%d records are read", len(got))
		}
	})
}

func TestRunTails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, s := mem.New(), &values{}
		l := lead(t, st, &values{}, journal.Options{})
		f, err := journal.Follow(st, "j", s, journal.Options{Poll: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- f.Run(ctx) }()
		for i := range 3 {
			appendAll(t, l, fmt.Sprint(i))
			checkpoint(t, l)
			time.Sleep(time.Second)
			synctest.Wait()
			if len(s.get()) != i+1 {
				t.Errorf("after append %d it has %v", i, s.get())
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, errs.Canceled) {
			t.Error(err)
		}
	})
}
