package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/infra/store"
)

const (
	markSize = 16
	headSize = markSize + 4 + 4 // of a frame
	maxFrame = headSize + maxEntry

	// scanSize is how much of a segment is read at once: any frame, and what it takes to see that it is not whole.
	scanSize = 2 * maxFrame
)

// segment is a log of the store, in which entries follow each other. The zero segment stands for entries that are
// objects of their own.
type segment struct {
	after uint64         // the entry that says that the next ones are here
	mark  [markSize]byte // random; in its name, and before each entry
	at    int64          // where the next entry may begin
}

func (s *segment) none() bool { return s.after == 0 }

// newSegment chooses what follows entry number after.
func newSegment(after uint64, rand io.Reader) (s segment, err error) {
	s.after = after
	_, err = io.ReadFull(rand, s.mark[:])
	return s, err
}

func (j *objects) segmentName(s segment) store.Name {
	return j.prefix.Join(numbered(segmentPart, s.after) + "-" + hex.EncodeToString(s.mark[:]))
}

// segmentNumber is the number in the name of a segment.
func segmentNumber(name, prefix store.Name) (uint64, bool) {
	dash := strings.LastIndexByte(string(name), '-')
	if dash != len(name)-2*markSize-1 {
		return 0, false
	}
	return parseNumber(name[:dash], prefix, segmentPart)
}

// castagnoli's table makes hash/crc32 use the CPU's instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends a segment's frame of an entry's bytes to dst.
func (s *segment) appendFrame(dst, stored []byte) []byte {
	start := len(dst)
	dst = append(dst, s.mark[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(stored)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, stored...)
}

// cut takes the next whole frame off data, and returns the bytes of its entry and how far it got: over that, and over
// frames before it whose writers died in the midst of them. stored is nil if no frame is whole so far.
//
// A frame in which another one begins was never finished, since every append is one after the other; nor was, so far,
// one that ends beyond data.
func (s *segment) cut(data []byte) (stored []byte, n int, err error) {
	for {
		rest := data[n:]
		size, sound := s.frameSize(rest)
		// A mark inside of a frame, or its beginning there and its end behind it.
		if next := bytes.Index(rest[min(len(rest), 1):min(len(rest), size+markSize-1)], s.mark[:]); next >= 0 {
			n += 1 + next
			continue
		}
		switch {
		case len(rest) < headSize+markSize, sound && len(rest) < size:
			return nil, n, nil
		case !sound && s.torn(rest[:headSize]):
			next := s.next(rest)
			if next < 0 {
				return nil, n, nil
			}
			n += next
			continue
		case !sound:
			return nil, n, damaged("no entry begins at %d", s.at+int64(n))
		}
		return rest[headSize:size], n + size, nil
	}
}

// frameSize returns how long the frame is that data begins with, if that is sound, and else how far another one may
// lie.
func (s *segment) frameSize(data []byte) (size int, sound bool) {
	if len(data) < headSize || !bytes.HasPrefix(data, s.mark[:]) ||
		binary.BigEndian.Uint32(data[headSize-4:]) != crc32.Checksum(data[:headSize-4], castagnoli) {
		return headSize, false
	}
	n := binary.BigEndian.Uint32(data[markSize:])
	return headSize + int(min(n, maxEntry)), n <= maxEntry
}

// torn reports whether bytes that should be a frame, or its head, but are not, are what a writer has left who died in
// the midst of it, and those after him who died within their mark: then they end as a mark begins.
func (s *segment) torn(data []byte) bool {
	for begun := 1; begun < markSize; begun++ {
		if bytes.HasSuffix(data, s.mark[:begun]) {
			return true
		}
	}
	return false
}

// next returns where the next mark behind the first byte of data is; less than 0 if there is none so far.
func (s *segment) next(data []byte) int {
	i := bytes.Index(data[1:], s.mark[:])
	if i < 0 {
		return i
	}
	return 1 + i
}

// scan reads the entries that follow number seq and are whole, as many as fit into scanSize, up to one that leads to
// another segment. It fails with errs.NotFound if the segment has been deleted.
func (j *objects) scan(ctx context.Context, s *segment, seq uint64) (entries []entry, err error) {
	var data []byte
	err = j.retry(ctx, func(ctx context.Context) error {
		r, err := j.st.Open(ctx, j.segmentName(*s), store.Range{Offset: s.at})
		if err != nil {
			return err
		}
		defer r.Close()
		data, err = io.ReadAll(io.LimitReader(r, scanSize))
		return err
	})
	if err != nil {
		return nil, err
	}
	entries, n, err := s.entries(data, seq)
	if err != nil {
		return nil, errs.E("journal.read", errs.Other, j.segmentName(*s), err)
	}
	s.at += int64(n)
	return entries, nil
}

// entries takes the entries after number seq off data, and returns how far it got.
func (s *segment) entries(data []byte, seq uint64) (entries []entry, n int, err error) {
	for n < len(data) {
		stored, size, err := s.cut(data[n:])
		if err != nil {
			return nil, 0, err
		}
		if stored == nil {
			n += size
			break
		}
		e, err := decodeEntry(stored)
		if err != nil && s.torn(data[n:n+size]) {
			next := s.next(data[n:])
			if next < 0 { // another one is just being written
				break
			}
			n += next
			continue
		}
		n += size
		switch {
		case err != nil:
			return nil, 0, err
		case e.seq <= seq: // too late: another one of this number was first
			continue
		case e.seq > seq+1:
			return nil, 0, damaged("entry %d follows %d", e.seq, seq)
		}
		seq = e.seq
		if entries = append(entries, e); e.kind == roll {
			break
		}
	}
	return entries, n, nil
}

// openSegment opens a segment that somebody made, for appending. It fails with errs.NotFound if that was deleted.
func (j *objects) openSegment(ctx context.Context, s segment) (store.Log, error) {
	logs, ok := store.LogsOf(j.st)
	if !ok {
		return nil, errs.Errorf("journal.Lead", errs.Unsupported, j.segmentName(s),
			"the journal is in a log, which this way to the store does not append to")
	}
	return logs.OpenLog(ctx, j.segmentName(s))
}

// append writes an entry at the end of a segment. Of those with its number, whoever wrote them, the first has landed.
func (j *objects) append(ctx context.Context, log store.Log, s *segment, e *entry, frame []byte) (landed bool,
	err error) {
	at, err := log.Append(frame)
	if err != nil {
		return false, err
	}
	if at != s.at { // others have written, or begun to
		between := *s
		entries, err := j.scan(ctx, &between, e.seq-1)
		switch {
		case errors.Is(err, errs.NotFound): // it was truncated, and so another one led
			return false, nil
		case err != nil:
			return false, err
		case len(entries) == 0 || entries[0].nonce != e.nonce:
			return false, nil
		}
	}
	s.at = at + int64(len(frame))
	return true, nil
}

// encode writes where entries are into the head of a checkpoint.
func (s *segment) encode(p []byte) []byte {
	p = binary.AppendUvarint(p, s.after)
	p = append(p, s.mark[:]...)
	return binary.AppendUvarint(p, uint64(s.at))
}

func (f *fields) segment() (s segment) {
	s.after = f.number()
	copy(s.mark[:], f.take(markSize))
	s.at = int64(f.number())
	if f.err == nil && (s.after == 0 || s.at < 0) {
		f.fail(damaged("a segment after entry %d, at %d", s.after, s.at))
	}
	return s
}

// rolled returns the segment that a roll leads to.
func (e *entry) rolled() segment {
	s := segment{after: e.seq}
	mark, _, _ := record.Bytes(e.records) // decodeEntry has seen to it
	copy(s.mark[:], mark)
	return s
}
