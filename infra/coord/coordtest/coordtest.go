// Package coordtest is the one suite that every coord.Coordinator passes, drivers and wrappers alike. A driver's own
// test is a few lines:
//
//	coordtest.Run(t, func(t *testing.T) coordtest.Space {
//		c := mem.New()
//		return coordtest.Space{
//			Client: func() coord.Coordinator { return c.Client() },
//			Lose:   func(key coord.Key) { c.Expire(key) },
//		}
//	})
package coordtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// TTL is what the suite asks leases for. A driver under test may take so long to notice a lost one.
const TTL = 300 * time.Millisecond

// patience bounds everything that ought to happen soon, so that a test fails instead of hanging.
const patience = 20 * time.Second

// Space is an empty coordination space.
type Space struct {
	// Client returns one more handle to the space, as another process would have.
	Client func() coord.Coordinator
	// Lose ends the lease on key behind its holder's back.
	Lose func(key coord.Key)
}

// Run checks that the spaces which open returns keep the contract.
func Run(t *testing.T, open func(t *testing.T) Space) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Space)
	}{
		{"refuses bad keys", badKeys},
		{"tokens grow", tokensGrow},
		{"release hands over", releaseHandsOver},
		{"waiting ends with ctx", waitingEnds},
		{"one holder at a time", oneHolder},
		{"leases and values are apart", leasesAndValues},
		{"lost lease is told", lostLease},
		{"values change by their version", values},
		{"versions never repeat", versionsNeverRepeat},
		{"longest key and value", longest},
		{"one of many swaps wins", swapRace},
		{"watch begins with what exists", watchBegins},
		{"watch tells changes in order", watchOrder},
		{"watch ends with the last state", watchStorm},
		{"watch ends with ctx", watchEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wantKind(t *testing.T, what string, err error, kind errs.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got error %v, want kind %q", what, err, kind)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func badKeys(t *testing.T, s Space) {
	ctx, c := soon(t), s.Client()
	tooLong := coord.Key(strings.Repeat("k", coord.MaxKey+1))
	for _, key := range []coord.Key{"", "/a", "a/", "a//b", "a/../b", ".", "a b", "ä", tooLong} {
		_, err := c.Acquire(ctx, key, TTL)
		wantKind(t, "Acquire", err, errs.Invalid)
		_, err = c.Get(ctx, key)
		wantKind(t, "Get", err, errs.Invalid)
		_, err = c.Swap(ctx, key, 0, []byte("x"))
		wantKind(t, "Swap", err, errs.Invalid)
	}
	_, err := c.Acquire(ctx, "k", 0)
	wantKind(t, "Acquire without a ttl", err, errs.Invalid)
	_, err = c.Swap(ctx, "k", 0, make([]byte, coord.MaxValue+1))
	wantKind(t, "Swap of too much", err, errs.Invalid)
}
