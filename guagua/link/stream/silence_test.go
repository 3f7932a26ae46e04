package stream

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

var testSecret = wire.Secret{Secret: "x"}

// accepted returns a master's end of a new link, and what greets it from the other end.
func accepted(t *testing.T, greet func(raw net.Conn) *wire.Conn) (master *conn, worker *wire.Conn) {
	t.Helper()
	here, there := net.Pipe()
	greeted := make(chan *wire.Conn)
	go func() { greeted <- greet(there) }()
	c, err := wire.Accept(here, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{}).alive(c), <-greeted
}

func greet(t *testing.T) func(raw net.Conn) *wire.Conn {
	return func(raw net.Conn) *wire.Conn {
		c, err := wire.Greet(t.Context(), raw, testSecret)
		if err != nil {
			t.Error(err)
		}
		return c
	}
}

// TestSilenceIsNoticed: a network that swallows everything breaks the link.
func TestSilenceIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var raw net.Conn
		master, _ := accepted(t, func(there net.Conn) *wire.Conn {
			raw = there
			return greet(t)(there)
		})
		defer raw.Close()
		go func() { _, _ = io.Copy(io.Discard, raw) }() // and it says nothing more
		began := time.Now()
		if _, err := master.Read(); !errors.Is(err, errs.Unavailable) {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("noticed after %v", took)
		}
	})
}

// TestBusyIsNotSilent: one who does not read, since he is at work, still gives signs of life, and is not told that the
// other end is gone.
func TestBusyIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		master, raw := accepted(t, greet(t))
		worker := New(Options{}).alive(raw)
		defer master.Close()
		defer worker.Close()
		time.AfterFunc(time.Minute, func() { // six times the silence that is allowed
			if err := worker.Send(t.Context(), wire.Header{Kind: wire.Result}, wire.NewMessage(nil)); err != nil {
				t.Error(err)
			}
		})
		if h, err := master.Read(); err != nil || h.Kind != wire.Result {
			t.Errorf("%v: %v", h.Kind, err)
		}
	})
}
