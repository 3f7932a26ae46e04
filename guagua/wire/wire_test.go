package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
)

var secret = Secret{Secret: "s3cret", Job: "7k2f-sum", Epoch: 9}

// pair returns both ends of a connection that has been greeted, or the errors of the greeting.
func pair(t *testing.T, worker, master Secret) (w, m *Conn, werr, merr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		raw, err := l.Accept()
		if err != nil {
			merr = err
			return
		}
		m, merr = Accept(raw, master)
	})
	w, werr = Dial(t.Context(), l.Addr().String(), worker)
	wg.Wait()
	t.Cleanup(func() {
		for _, c := range []*Conn{w, m} {
			if c != nil {
				c.Close()
			}
		}
	})
	return w, m, werr, merr
}

func connected(t *testing.T) (w, m *Conn) {
	t.Helper()
	w, m, werr, merr := pair(t, secret, secret)
	if err := errors.Join(werr, merr); err != nil {
		t.Fatal(err)
	}
	return w, m
}

func TestOnlyWhoKnowsTheSecretGetsIn(t *testing.T) {
	connected(t)
	for _, other := range []Secret{
		{"wrong", secret.Job, secret.Epoch}, {secret.Secret, "other", secret.Epoch}, {secret.Secret, secret.Job, 8}, {},
	} {
		_, _, werr, merr := pair(t, other, secret)
		if !errors.Is(werr, errs.Permission) || merr == nil {
			t.Errorf("%+v: worker %v, master %v", other, werr, merr)
		}
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		io.WriteString(here, "GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n")
		io.Copy(io.Discard, here)
	}()
	if _, err := Accept(there, secret); !errors.Is(err, errs.Corrupt) {
		t.Error(err)
	}
}

// receive reads one whole message.
func receive(t *testing.T, c *Conn) (Header, []byte) {
	t.Helper()
	var all []byte
	for {
		h, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		piece := make([]byte, h.Length)
		if err := c.Body(piece); err != nil {
			t.Fatal(err)
		}
		if h.Offset != int64(len(all)) {
			t.Fatalf("piece at %d after %d bytes", h.Offset, len(all))
		}
		if all = append(all, piece...); h.Last() {
			return h, all
		}
	}
}

func TestMessagesArriveWhole(t *testing.T) {
	w, m := connected(t)
	random := rand.NewChaCha8([32]byte{1})
	for _, n := range []int{0, 1, 8, small, small + 1, Chunk - 1, Chunk, Chunk + 1, 5*Chunk + 8} {
		body := make([]byte, n)
		random.Read(body)
		want := Header{
			Position: superstep.Position{Epoch: 9, Turn: 1 << 40}, Kind: Result, Flags: Halt, Iteration: 1<<31 - 1,
			Member: superstep.Member{Index: 3, Attempt: 2}, Total: int64(n), Extra: 1 << 63,
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := errors.Join(w.Say(Header{Kind: Ping}, nil), w.Send(t.Context(), want, NewMessage(body))); err != nil {
				t.Error(err)
			}
		})
		got, data := receive(t, m)
		wg.Wait()
		if !bytes.Equal(data, body) {
			t.Errorf("%d bytes were changed", n)
		}
		ignored := cmpopts.IgnoreFields(Header{}, "Offset", "Length", "crc")
		if d := cmp.Diff(want, got, ignored); d != "" {
			t.Error(d)
		}
	}
}

func TestSendingStopsBetweenPieces(t *testing.T) {
	w, m := connected(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Send(ctx, Header{Kind: Result}, NewMessage(make([]byte, 3*Chunk))); err != nil {
		t.Fatal(err)
	}
	if err := w.Say(Header{Kind: Join}, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Kind{Result, Join} { // the first body is skipped
		if h, err := m.Read(); err != nil || h.Kind != want {
			t.Fatalf("got %v %v, want %v", h.Kind, err, want)
		}
	}
}

func TestJoins(t *testing.T) {
	want := superstep.Join{
		Epoch: 4, From: superstep.Member{Index: 7, Attempt: 1}, Serial: 3,
		Have: superstep.Point{Iteration: 12, Epoch: 4}, Held: superstep.Point{Iteration: 11, Epoch: 2},
	}
	h, body := JoinMessage(want)
	got, err := ParseJoin(h, body)
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseJoin(h, body[1:]); !errors.Is(err, errs.Corrupt) {
		t.Error(err)
	}
}

// stream is a connection from bytes that have been recorded.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func recorded(data []byte) *Conn { return newConn(stream{Reader: bytes.NewReader(data)}) }

func frame(h Header, body []byte) []byte {
	h.Total, h.Length = int64(len(body)), len(body)
	h.crc = NewMessage(body).crc(0, body)
	return append(h.append(nil), body...)
}

func TestDamageIsNoticed(t *testing.T) {
	good := frame(Header{Kind: Result, Member: superstep.Member{Index: 1}}, []byte("twelve bytes"))
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		c := recorded(bad)
		h, err := c.Read()
		if err == nil {
			err = c.Body(make([]byte, h.Length))
		}
		if !errors.Is(err, errs.Corrupt) {
			t.Errorf("bit of byte %d: %v", i, err)
		}
	}
	for n := range good {
		c := recorded(good[:n])
		h, err := c.Read()
		if err == nil {
			err = c.Body(make([]byte, h.Length))
		}
		if !errors.Is(err, errs.Unavailable) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// FuzzFrames: whatever arrives, reading ends, and what was accepted can be written again as it was.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{})
	f.Add(frame(Header{Kind: Ping}, nil))
	f.Add(append(frame(Header{Kind: Join, Iteration: 5}, make([]byte, joinLen)), frame(Header{Kind: Dismiss}, nil)...))
	f.Add(frame(Header{Kind: Reject, Extra: 1}, []byte("no")))
	huge := Header{Kind: Result, Total: MaxTotal, Length: Chunk}
	f.Add(huge.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= HeaderLen { // let its first checksum be right, so that more than the checksum is tried
			data = slices.Clone(data)
			copy(data, "GG\x01")
			binary.LittleEndian.PutUint32(data[76:], crc32.Checksum(data[:76], castagnoli()))
		}
		c := recorded(data)
		rest := data
		for {
			h, err := c.Read()
			if err != nil {
				return
			}
			for rest[3] == byte(Ping) { // Read swallowed it
				ping, _ := parse(rest[:HeaderLen])
				rest = rest[HeaderLen+ping.Length:]
			}
			if again := h.append(nil); !bytes.Equal(again, rest[:HeaderLen]) {
				t.Fatalf("header %x became %x", rest[:HeaderLen], again)
			}
			body := make([]byte, h.Length)
			if err := c.Body(body); err != nil {
				return
			}
			if h.Kind == Join {
				if j, err := ParseJoin(h, body); err == nil {
					if _, again := JoinMessage(j); !bytes.Equal(again, body) {
						t.Fatalf("join %x became %x", body, again)
					}
				}
			}
			rest = rest[HeaderLen+h.Length:]
		}
	})
}
