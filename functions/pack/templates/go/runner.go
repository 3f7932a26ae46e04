package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Invocation says what an event belongs to.
type Invocation struct {
	ID       string `json:"id"`
	Function string `json:"function"`
	Attempt  int    `json:"attempt"` // from 1
	Key      string `json:"key"`     // the caller's idempotency key, if it gave one
	Deadline string `json:"deadline"`
}

// Logf adds a line to the invocation's log.
func (Invocation) Logf(format string, args ...any) { send('S', fmt.Appendf(nil, format, args...)) }

// Invalid makes an error of which another attempt would change nothing.
func Invalid(err error) error { return invalid{err} }

type invalid struct{ error }

// out is where frames go; what the function prints itself goes to the log.
var out = os.Stdout

// send writes a frame: its type, the length of the payload (4 bytes, little endian) and the payload.
func send(kind byte, payload []byte) {
	frame := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	if _, err := out.Write(append(frame, payload...)); err != nil {
		os.Exit(1) // the host is gone
	}
}

func receive(in io.Reader) (kind byte, payload []byte) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		os.Exit(0) // the host needs us no longer
	}
	payload = make([]byte, binary.LittleEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(in, payload); err != nil {
		os.Exit(1)
	}
	return head[0], payload
}

// Serve answers events with handle for as long as there are any.
func Serve(handle func(in Invocation, event json.RawMessage) (any, error)) {
	os.Stdout = os.Stderr
	in := bufio.NewReader(os.Stdin)
	receive(in) // the hello
	send('H', []byte("RUNNER\x01"))
	for {
		_, call := receive(in)
		var inv Invocation
		if err := json.Unmarshal(call, &inv); err != nil {
			os.Exit(1)
		}
		_, event := receive(in)
		result, err := handle(inv, event)
		var answer []byte
		if err == nil {
			answer, err = json.Marshal(result)
		}
		if err == nil {
			send('V', answer)
			continue
		}
		failure := map[string]string{"message": err.Error()}
		if errors.As(err, new(invalid)) {
			failure["kind"] = "invalid"
		}
		text, _ := json.Marshal(failure) // texts always encode
		send('X', text)
	}
}
