package process

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// TestLateReaders get all that was in the pipe when the deadline came, and nobody waits for more.
func TestLateReaders(t *testing.T) {
	for name, c := range map[string]struct {
		ended bool // the other end is closed
		end   error
	}{"the program was the last to write": {true, io.EOF}, "somebody else may write": {false, os.ErrDeadlineExceeded}} {
		from, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close() // again, perhaps
		o := newOutput(from)
		defer o.Close() // nothing was written
		if _, err := to.WriteString("all of it"); err != nil {
			t.Fatal(err)
		}
		if c.ended {
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3)
		var text string
		for err == nil {
			var n int
			n, err = o.Read(got)
			text += string(got[:n])
		}
		if text != "all of it" || !errors.Is(err, c.end) {
			t.Errorf("%s: %q, %v; want %v", name, text, err, c.end)
		}
	}
}

// TestOrphansAreNotHeardForEver: who writes on and on after the deadline is left alone some time.
func TestOrphansAreNotHeardForEver(t *testing.T) {
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close() // the test is over
	o := newOutput(from)
	defer o.Close() // nothing was written
	if err := o.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	sum, b := 0, make([]byte, 4<<10)
	for err == nil {
		if _, err := to.Write(b); err != nil {
			t.Fatal(err)
		}
		var n int
		n, err = o.Read(b)
		sum += n
	}
	if sum != pipeSize || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", sum, err)
	}
}
