package stream_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/link/linktest"
	"github.com/seed3322913c/runner/guagua/link/stream"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestStream(t *testing.T) {
	linktest.Run(t, 3<<20, func(*testing.T) link.Transport { return stream.New(stream.Options{}) })
}

// TestSilenceIsNoticed: a network that swallows everything breaks the link; a reader that is busy does not.
func TestSilenceIsNoticed(t *testing.T) {
	secret := wire.Secret{Secret: "x"}
	o := stream.Options{Beat: 5 * time.Millisecond, Lost: 50 * time.Millisecond}
	door, err := stream.New(o).Listen(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	raw, err := net.Dial("tcp", door.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := wire.Greet(t.Context(), raw, secret); err != nil { // and then it says nothing more
		t.Fatal(err)
	}
	l, err := door.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(); !errors.Is(err, errs.Unavailable) {
		t.Fatal(err)
	}
	alive, err := stream.New(o).Dial(t.Context(), door.Address(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = door.Accept(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() {
		if err := alive.Send(t.Context(), wire.Header{Kind: wire.Result}, wire.NewMessage(nil)); err != nil {
			t.Error(err)
		}
	})
	if h, err := l.Read(); err != nil || h.Kind != wire.Result {
		t.Fatalf("six times the silence that is allowed, but with signs of life: %v %v", h.Kind, err)
	}
}
