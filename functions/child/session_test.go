package child

import (
	"testing"

	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
)

// TestQuickAnswers: a child may answer before the executor, which has just asked, does anything else.
func TestQuickAnswers(t *testing.T) {
	for range 1000 {
		s := &session{
			proc: &process.Process{Gone: make(chan struct{})}, send: make(chan []byte), written: make(chan []byte, queue),
			recv: make(chan frame, queue), handled: make(chan []byte, queue),
		}
		s.batch.Reset(nil)
		go func() {
			<-s.send
			s.recv <- frame{kind: wire.Finished, payload: []byte("{}")}
		}()
		if _, err := s.ask(wire.End, wire.Finished, nil); err != nil {
			t.Fatal(err)
		}
	}
}
