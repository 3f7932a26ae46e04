package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
)

const (
	version = 1 // of both formats
	// the version of what speaks of segments, which older programs can't follow; a higher one is from a newer program
	rolling   = 2
	nonceSize = 16
)

// kind says what an entry is. The numbers are part of the format.
type kind byte

const (
	data kind = 1 // records of a leader
	seal kind = 2 // the beginning of a leadership; has no records
	roll kind = 3 // the entries after it are in a segment; its record is the segment's mark
)

// entry is one object of the log.
type entry struct {
	kind    kind
	seq     uint64
	epoch   uint64 // the seal of the leader that wrote it; of a seal, its own number
	writer  string
	nonce   [nonceSize]byte
	records []byte // as record.AppendBytes writes them, one after another
}

// encode returns the entry's bytes in the store.
func (e *entry) encode(enc *record.Encoder) []byte {
	p := make([]byte, 0, 2+3*binary.MaxVarintLen64+len(e.writer)+nonceSize+len(e.records))
	v := byte(version)
	if e.kind == roll {
		v = rolling
	}
	p = append(p, v, byte(e.kind))
	p = binary.AppendUvarint(p, e.seq)
	p = binary.AppendUvarint(p, e.epoch)
	p = record.AppendBytes(p, []byte(e.writer))
	p = append(p, e.nonce[:]...)
	p = append(p, e.records...)
	return enc.Append(nil, p)
}

// decodeEntry takes the bytes of an entry apart, and checks all of it.
func decodeEntry(stored []byte) (entry, error) {
	blocks := record.NewBytesReader(stored)
	p, err := blocks.Next()
	if errors.Is(err, io.EOF) {
		return entry{}, damaged("empty")
	}
	if err != nil {
		return entry{}, err
	}
	if blocks.Offset() != int64(len(stored)) {
		return entry{}, damaged("%d bytes after the entry", int64(len(stored))-blocks.Offset())
	}
	f := fields{rest: p}
	f.version()
	e := entry{kind: kind(f.byte()), seq: f.number(), epoch: f.number(), writer: string(f.bytes(MaxWriter))}
	copy(e.nonce[:], f.take(nonceSize))
	e.records = f.rest
	switch {
	case f.err != nil:
		return entry{}, f.err
	case e.kind == seal && (e.epoch != e.seq || len(e.records) > 0), e.kind != seal && (e.epoch >= e.seq || e.epoch == 0),
		e.kind == roll && (len(e.records) != 1+markSize || e.records[0] != markSize):
		return entry{}, damaged("kind %d with epoch %d and %d bytes of records", e.kind, e.epoch, len(e.records))
	case e.kind != seal && e.kind != data && e.kind != roll:
		return entry{}, damaged("kind %d", e.kind)
	}
	return e, eachRecord(e.records, func([]byte) error { return nil })
}

// eachRecord calls f for each of the records until it fails.
func eachRecord(records []byte, f func([]byte) error) error {
	for len(records) > 0 {
		r, rest, ok := record.Bytes(records)
		if !ok {
			return damaged("a record reaches beyond the entry")
		}
		if err := f(r); err != nil {
			return err
		}
		records = rest
	}
	return nil
}

// head is the first block of a checkpoint.
type head struct {
	seq    uint64
	epoch  uint64 // of the leader that made it
	writer string
	next   segment // where the entries after it are
}

func (h head) encode() []byte {
	p := []byte{version}
	if !h.next.none() {
		p[0] = rolling
	}
	p = binary.AppendUvarint(p, h.seq)
	p = binary.AppendUvarint(p, h.epoch)
	p = record.AppendBytes(p, []byte(h.writer))
	if !h.next.none() {
		p = h.next.encode(p)
	}
	return p
}

func decodeHead(p []byte) (head, error) {
	f := fields{rest: p}
	v := f.version()
	h := head{seq: f.number(), epoch: f.number(), writer: string(f.bytes(MaxWriter))}
	if v == rolling {
		h.next = f.segment()
	}
	if f.err == nil && len(f.rest) > 0 {
		f.err = damaged("%d bytes after the head", len(f.rest))
	}
	return h, f.err
}

// fields takes values from the front of a payload. After the first error it returns zeros.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
	f.rest = nil
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.fail(damaged("too short"))
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) version() byte {
	v := f.byte()
	if f.err == nil && v != version && v != rolling {
		f.fail(errs.Errorf("", errs.Unsupported, nil, "written in format %d, this program knows %d and %d", v, version,
			rolling))
	}
	return v
}

func (f *fields) number() uint64 {
	n, w := binary.Uvarint(f.rest)
	if w <= 0 {
		f.fail(damaged("not a number"))
		return 0
	}
	f.rest = f.rest[w:]
	return n
}

func (f *fields) bytes(limit int) []byte {
	b, rest, ok := record.Bytes(f.rest)
	if !ok || len(b) > limit {
		f.fail(damaged("a byte string that is too long"))
		return nil
	}
	f.rest = rest
	return b
}

func damaged(format string, args ...any) error {
	return errs.Errorf("", errs.Corrupt, nil, format, args...)
}

// checkpointReader hands out the State's part of a checkpoint, and io.EOF only after its end mark.
type checkpointReader struct {
	blocks *record.Reader
	rest   []byte
	err    error
}

func (r *checkpointReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		switch b, err := r.blocks.Next(); {
		case errors.Is(err, io.EOF):
			r.err = damaged("ends without its end mark")
		case err != nil:
			r.err = err
		case len(b) == 0:
			r.err = r.end()
		default:
			r.rest = b
		}
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// end checks that nothing follows the end mark.
func (r *checkpointReader) end() error {
	if _, err := r.blocks.Next(); !errors.Is(err, io.EOF) {
		return damaged("goes on after its end mark")
	}
	return io.EOF
}

// writeCheckpoint writes all of a checkpoint to w.
func writeCheckpoint(w io.Writer, h head, state io.WriterTo) error {
	if _, err := w.Write(record.Append(nil, h.encode(), record.None)); err != nil {
		return err
	}
	blocks := record.NewWriter(w, record.Options{Codec: record.S2})
	if _, err := state.WriteTo(blocks); err != nil {
		return err
	}
	if err := blocks.Flush(); err != nil {
		return err
	}
	_, err := w.Write(record.Append(nil, nil, record.None))
	return err
}

// readCheckpoint restores s from the checkpoint with number seq.
func readCheckpoint(r io.Reader, seq uint64, s State) (head, error) {
	blocks := record.NewReader(r)
	p, err := blocks.Next()
	if errors.Is(err, io.EOF) {
		return head{}, damaged("empty")
	}
	if err != nil {
		return head{}, err
	}
	h, err := decodeHead(bytes.Clone(p))
	if err != nil {
		return head{}, err
	}
	if h.seq != seq {
		return head{}, damaged("holds checkpoint %d", h.seq)
	}
	body := &checkpointReader{blocks: blocks}
	if err := s.Restore(body); err != nil {
		return head{}, err
	}
	_, err = io.Copy(io.Discard, body) // what Restore had no need to read is checked all the same
	return h, err
}
