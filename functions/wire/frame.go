package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
)

// magic is what a hello begins with.
const magic = "RUNNER"

// Read reads one frame. The payload lies in buf if that is large enough, and has Spare bytes of capacity behind it. At
// the end of the stream the error is io.EOF itself; a frame that is cut off or makes no sense is errs.Corrupt.
func Read(r io.Reader, buf []byte) (Type, []byte, error) {
	const op = "wire.Read"
	var header [headerSize]byte
	if n, err := io.ReadFull(r, header[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return 0, nil, io.EOF
		}
		return 0, nil, cutOff(op, err)
	}
	t, length := Type(header[0]), int(binary.LittleEndian.Uint32(header[1:]))
	limit, known := t.limit()
	if !known || length > limit {
		return 0, nil, errs.Errorf(op, errs.Corrupt, nil, "%q is not the head of a frame", header[:])
	}
	// The memory grows with what has really come, whatever the length says.
	payload := buf[:0]
	for len(payload) < length {
		n := len(payload)
		step := min(length-n, max(n, MaxControl))
		payload = slices.Grow(payload, step+Spare)[:n+step]
		if _, err := io.ReadFull(r, payload[n:]); err != nil {
			return 0, nil, cutOff(op, err)
		}
	}
	return t, payload, nil
}

func cutOff(op string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.E(op, errs.Corrupt, nil, io.ErrUnexpectedEOF)
	}
	return errs.E(op, errs.Other, nil, err)
}

// Frame returns a whole frame. The caller sees to it that the payload is no longer than its type allows.
func Frame(t Type, payload []byte) []byte {
	f := make([]byte, headerSize, headerSize+len(payload))
	return seal(t, append(f, payload...))
}

// JSONFrame returns a frame whose payload is v as JSON.
func JSONFrame(t Type, v any) ([]byte, error) {
	payload, err := json.Marshal(v)
	if err == nil && len(payload) > MaxControl {
		err = errs.Errorf("", errs.Exhausted, nil, "%d bytes, at most %d fit a frame", len(payload), MaxControl)
	}
	if err != nil {
		return nil, errs.E("wire.JSONFrame", errs.Other, string(t), err)
	}
	return Frame(t, payload), nil
}

// HelloFrame returns a hello.
func HelloFrame(version byte) []byte { return Frame(Hello, append([]byte(magic), version)) }

// ReadHello reads the hello, which is all that a stream may begin with, and returns its version. An empty stream is
// io.EOF itself; anything else than a hello is errs.Corrupt, with a sample of what came.
func ReadHello(r *bufio.Reader) (version byte, err error) {
	const op = "wire.ReadHello"
	want := HelloFrame(0)
	got, err := r.Peek(len(want))
	if len(got) == 0 && err != nil {
		return 0, err
	}
	fixed := len(want) - 1
	if len(got) < len(want) || string(got[:fixed]) != string(want[:fixed]) || got[fixed] == 0 {
		sample, _ := r.Peek(min(r.Buffered(), 60)) // what is buffered can be had
		return 0, errs.Errorf(op, errs.Corrupt, nil, "%q is no hello", sample)
	}
	_, err = r.Discard(len(want))
	return got[fixed], err
}

// ParseJSON decodes the payload of a frame made by JSONFrame.
func ParseJSON(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return errs.E("wire.ParseJSON", errs.Corrupt, nil, err)
	}
	return nil
}

// seal writes the header in front of a payload.
func seal(t Type, frame []byte) []byte {
	frame[0] = byte(t)
	binary.LittleEndian.PutUint32(frame[1:], uint32(len(frame)-headerSize))
	return frame
}
