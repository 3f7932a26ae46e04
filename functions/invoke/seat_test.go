package invoke

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/functions/wire"
)

// newSeat returns a seat that is read, and the other end of its connection.
func newSeat(t *testing.T) (*seat, *line) {
	here, there := net.Pipe()
	s := &seat{line: newLine(here), log: &logSwitch{}, answers: make(chan frame, 1), gone: make(chan struct{})}
	go s.read()
	t.Cleanup(func() {
		_ = there.Close() // a pipe
		<-s.gone
	})
	return s, newLine(there)
}

// TestSilence: a machine that falls silent is lost soon; one that says that it is there may take its time.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, there := newSeat(t)
		go io.Copy(io.Discard, there.Conn) // ends with the pipe
		began := time.Now()
		if _, err := s.call(t.Context(), wire.Call{}, nil, time.Hour); err != errLost || time.Since(began) != silence {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, there := newSeat(t)
		go io.Copy(io.Discard, there.Conn) // likewise
		go func() {
			for range 30 {
				_ = there.send(wire.Frame(wire.Status, nil)) // the answer does not come if it is lost
				time.Sleep(pulse)
			}
			_ = there.send(wire.Frame(wire.Value, []byte("done")))
		}()
		began := time.Now()
		got, err := s.call(t.Context(), wire.Call{}, nil, time.Hour)
		if err != nil || string(got) != "done" || time.Since(began) != 30*pulse {
			t.Errorf("after %v: %s, %v", time.Since(began), got, err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // who takes an event and never answers it is not believed for ever
		s, there := newSeat(t)
		go io.Copy(io.Discard, there.Conn) // likewise
		beaten := make(chan struct{})
		go func() {
			defer close(beaten)
			for there.send(wire.Frame(wire.Status, nil)) == nil {
				time.Sleep(pulse)
			}
		}()
		if _, err := s.call(t.Context(), wire.Call{}, nil, time.Minute); err == nil || err == errLost {
			t.Errorf("it ended with %v", err)
		}
		<-beaten
	})
}

// farewell is a connection whose other end answers what it was handed, and goes, before anybody looks.
type farewell struct {
	net.Conn
	seat *seat
}

func (f farewell) Write(b []byte) (int, error) {
	f.seat.answers <- frame{wire.Value, []byte("done")}
	close(f.seat.gone)
	return len(b), nil
}

// TestLastWord: a process that answers and goes has answered.
func TestLastWord(t *testing.T) {
	for range 100 { // or it may be luck
		here, there := net.Pipe()
		s := &seat{log: &logSwitch{}, answers: make(chan frame, 1), gone: make(chan struct{})}
		s.line = newLine(farewell{here, s})
		if got, err := s.call(t.Context(), wire.Call{}, nil, time.Minute); err != nil || string(got) != "done" {
			t.Fatalf("%q, %v", got, err)
		}
		_, _ = here.Close(), there.Close() // pipes
	}
}
