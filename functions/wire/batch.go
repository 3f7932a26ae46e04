package wire

import (
	"encoding/binary"

	"github.com/seed3322913c/runner/infra/errs"
)

// Batch collects the payload of one frame of data. The zero Batch is empty.
type Batch struct{ frame []byte }

// Reset empties the batch and lets it grow in buf.
func (b *Batch) Reset(buf []byte) { b.frame = append(buf[:0], make([]byte, headerSize)...) }

// Empty reports whether there is nothing in the batch.
func (b *Batch) Empty() bool { return len(b.frame) <= headerSize }

// Full reports whether it is time to send.
func (b *Batch) Full() bool { return len(b.frame) >= FrameSize }

// Fits reports whether n more bytes fit a frame of the usual size.
func (b *Batch) Fits(n int) bool { return len(b.frame)+n <= FrameSize }

// Frame returns the whole frame, which the batch gives up. A payload of more than MaxData is errs.Exhausted.
func (b *Batch) Frame(t Type) ([]byte, error) {
	if n := len(b.frame) - headerSize; n > MaxData {
		return nil, errs.Errorf("wire.Batch", errs.Exhausted, nil,
			"a record of %d bytes; at most %d can be handed over", n, MaxData)
	}
	frame := seal(t, b.frame)
	b.frame = nil
	return frame, nil
}

// Lines adds a run of whole lines.
func (b *Batch) Lines(run []byte) { b.frame = append(b.frame, run...) }

// Part adds the number of the reducer that gets the record after it.
func (b *Batch) Part(reducer int) { b.frame = binary.AppendUvarint(b.frame, uint64(reducer)) }

// CutPart takes such a number off the payload of a frame of type Placed.
func CutPart(payload []byte) (reducer int, rest []byte, err error) {
	n, k := binary.Uvarint(payload)
	if k <= 0 || n > 1<<31 {
		return 0, nil, errs.Errorf("wire.Cut", errs.Corrupt, nil, "%.20q does not begin with a reducer's number", payload)
	}
	return int(n), payload[k:], nil
}

// Record adds a record; nil is absent.
func (b *Batch) Record(key, value []byte) { b.frame = appendField(appendField(b.frame, key), value) }

// Int64Record adds a record with a varint as its value.
func (b *Batch) Int64Record(key []byte, value int64) {
	var v [binary.MaxVarintLen64]byte
	b.frame = appendField(appendField(b.frame, key), binary.AppendVarint(v[:0], value))
}

// Key adds a key to groups.
func (b *Batch) Key(key []byte) {
	b.frame = binary.AppendUvarint(append(b.frame, 0), uint64(len(key)))
	b.frame = append(b.frame, key...)
}

// Value adds a value of the key before to groups; nil is empty.
func (b *Batch) Value(value []byte) {
	b.frame = append(binary.AppendUvarint(b.frame, uint64(len(value))+1), value...)
}

func appendField(dst, field []byte) []byte {
	if field == nil {
		return append(dst, 0)
	}
	return append(binary.AppendUvarint(dst, uint64(len(field))+1), field...)
}

// CutRecord takes the first record off the payload of a frame of records. Key and value are views of it, nil if
// absent.
func CutRecord(payload []byte) (key, value, rest []byte, err error) {
	if key, rest, err = cutField(payload); err == nil {
		value, rest, err = cutField(rest)
	}
	return key, value, rest, err
}

// CutGroup takes the first entry off the payload of a frame of groups: a key, or a value of the key before.
func CutGroup(payload []byte) (isKey bool, data, rest []byte, err error) {
	if len(payload) > 0 && payload[0] == 0 {
		data, rest, err = cutBytes(payload[1:], 0)
		return true, data, rest, err
	}
	data, rest, err = cutBytes(payload, 1)
	return false, data, rest, err
}

// cutField takes off a field that may be absent.
func cutField(b []byte) (field, rest []byte, err error) {
	if len(b) > 0 && b[0] == 0 {
		return nil, b[1:], nil
	}
	return cutBytes(b, 1)
}

// cutBytes takes off bytes with their length in front, which is too great by more. They keep their capacity.
func cutBytes(b []byte, more uint64) (field, rest []byte, err error) {
	n, k := uint64(0), 0
	if len(b) > 0 && b[0] < 0x80 {
		n, k = uint64(b[0]), 1 // nearly all
	} else {
		n, k = binary.Uvarint(b)
	}
	if k <= 0 || n < more || n-more > uint64(len(b)-k) {
		return nil, nil, errs.Errorf("wire.Cut", errs.Corrupt, nil, "%.20q does not begin with a field", b)
	}
	end := k + int(n-more)
	return b[k:end], b[end:], nil
}
