package wire

import (
	"bytes"
	"testing"
	"testing/synctest"
)

// TestMessagesGrow: what is there of a message arrives while the rest is not; the last frame has what is known in the
// end, and a message that was stopped is not sent any further.
func TestMessagesGrow(t *testing.T) {
	for _, length := range []int{0, 5, Chunk, 2*Chunk + 7} {
		w, r := connected(t)
		body := make([]byte, length)
		m := NewGrowing(body)
		sent := make(chan error, 1)
		go func() { sent <- w.Send(t.Context(), Header{Kind: Result, Flags: Group}, m) }()
		for at := 0; ; at += Chunk {
			next := min(at+Chunk, length)
			for i := at; i < next; i++ {
				body[i] = byte(i * 7)
			}
			if m.Grow(next); next == length {
				m.Finish(Halt, 42)
			}
			h, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, h.Length)
			if err := r.Body(got); err != nil || !bytes.Equal(got, body[at:next]) {
				t.Fatalf("piece at %d of %d: %v", at, length, err)
			}
			if h.Last() {
				if h.Flags != Group|Halt || h.Extra != 42 {
					t.Errorf("%+v", h)
				}
				break
			}
			if h.Flags != Group || h.Extra != 0 {
				t.Errorf("%+v", h)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

func TestStoppedMessagesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewGrowing(make([]byte, Chunk+1))
		m.Grow(Chunk + 1) // the last piece waits for Finish all the same
		var h Header
		if !m.await(&h, 0) {
			t.Error("the first piece is not there")
		}
		given := make(chan bool)
		go func() { given <- m.await(&h, 1) }()
		synctest.Wait()
		if m.Stop(); <-given {
			t.Error("a piece that never came was sent")
		}
	})
}
