package data

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Sizes of text that is read and parsed at a time, and of the longest line.
const (
	textChunk   = 4 << 20
	longestLine = 256 << 20
)

// chunk is a run of whole lines.
type chunk struct {
	text []byte
	line int64 // the number of its first line, from 0 at the first line that the piece owns
}

// openText opens a piece of a text file. What comes out begins at the piece's first byte, or at the byte before it if
// there is one: if that is a line's end, the piece's first line is whole.
func openText(ctx context.Context, open guagua.Opener, p guagua.Piece, compression string) (io.ReadCloser, error) {
	r := store.Range{Offset: max(0, p.Offset-1)}
	raw, err := open(ctx, p.URI, r)
	if err != nil {
		return nil, errs.E(op, errs.Other, p.URI, err)
	}
	switch compression {
	case "gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			raw.Close()
			return nil, errs.E(op, errs.Corrupt, p.URI, err)
		}
		return &unpacked{z, func() { raw.Close() }}, nil
	case "zstd":
		z, err := zstd.NewReader(raw)
		if err != nil {
			raw.Close()
			return nil, errs.E(op, errs.Corrupt, p.URI, err)
		}
		return &unpacked{z, func() { z.Close(); raw.Close() }}, nil
	}
	return raw, nil
}

// unpacked reads from a decompressor and closes what it reads from.
type unpacked struct {
	io.Reader
	close func()
}

func (u *unpacked) Close() error { u.close(); return nil }

// lines yields the lines that a piece owns, a few MiB at a time. The bytes are the caller's.
func lines(r io.Reader, p guagua.Piece, compressed bool, yield func(chunk) error) error {
	at, end := max(0, p.Offset-1), p.Offset+p.Length
	skipping := p.Offset > 0 // the rest of a line that begins before the piece
	var carry []byte
	var line int64
	size := textChunk
	if !compressed {
		size = int(min(textChunk, p.Length+1<<10)) // small files need no large buffers
	}
	for done := false; !done; {
		buf := make([]byte, max(size, 2*len(carry)))
		n := copy(buf, carry)
		m, err := io.ReadFull(r, buf[n:])
		text := buf[:n+m]
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return errs.E(op, errs.Other, p.URI, err)
		}
		if !compressed && last && at+int64(len(text)) < end {
			return errs.Errorf(op, errs.Corrupt, p.URI, "it ends after %d bytes; it had %d when the job was planned",
				at+int64(len(text)), p.Size)
		}
		if skipping {
			i := bytes.IndexByte(text, '\n')
			if i < 0 && !last {
				at += int64(len(text))
				continue
			}
			at += int64(i + 1)
			if i < 0 || at >= end {
				return nil
			}
			text, skipping = text[i+1:], false
		}
		text, carry, done = cut(text, at, end, compressed, last)
		at += int64(len(text))
		if len(carry) > longestLine {
			return errs.Errorf(op, errs.Invalid, p.URI, "a line of more than %d bytes", longestLine)
		}
		if len(text) == 0 {
			continue
		}
		if err := yield(chunk{text, line}); err != nil {
			return err
		}
		line += int64(bytes.Count(text, []byte{'\n'}))
	}
	return nil
}

// cut takes the whole lines that the piece owns from the front of text, which begins at byte at of the file.
func cut(text []byte, at, end int64, compressed, last bool) (whole, carry []byte, done bool) {
	if !compressed && at+int64(len(text)) >= end {
		from := max(0, end-1-at)
		if i := bytes.IndexByte(text[from:], '\n'); i >= 0 {
			return text[:int(from)+i+1], nil, true
		}
	}
	if last {
		return text, nil, true
	}
	i := bytes.LastIndexByte(text, '\n') + 1
	return text[:i], text[i:], false
}

// firstLine returns the first line of a file that is not blank, without its end; nothing if there is none.
func firstLine(ctx context.Context, open guagua.Opener, uri, compression string) ([]byte, error) {
	r, err := openText(ctx, open, guagua.Piece{URI: uri}, compression)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(bytes.TrimSpace(line)) > 0 || errors.Is(err, io.EOF) {
			return line, nil
		}
		if err != nil {
			return nil, errs.E(op, errs.Other, uri, err)
		}
	}
}

// afterFirst returns what follows the first line that is not blank, and how many lines that leaves out.
func afterFirst(text []byte) (rest []byte, lines int64) {
	for len(text) > 0 {
		line := lineOf(text)
		text = text[min(len(line)+1, len(text)):]
		if lines++; len(bytes.TrimSpace(line)) > 0 {
			break
		}
	}
	return text, lines
}

// linesBefore counts the lines of a file before a piece: for people, when something is wrong with one of its rows.
func linesBefore(ctx context.Context, open guagua.Opener, p guagua.Piece) (int64, error) {
	if p.Offset == 0 {
		return 0, nil
	}
	r, err := open(ctx, p.URI, store.Range{Length: p.Offset})
	if err != nil {
		return 0, errs.E(op, errs.Other, p.URI, err)
	}
	defer r.Close()
	buf, n, last := make([]byte, 1<<20), int64(0), byte('\n')
	for {
		m, err := r.Read(buf)
		n += int64(bytes.Count(buf[:m], []byte{'\n'}))
		if m > 0 {
			last = buf[m-1]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, errs.E(op, errs.Other, p.URI, err)
		}
	}
	if last != '\n' { // the piece begins in the middle of a line, which is not its own
		n++
	}
	return n, nil
}

// fields splits a line at delimiters that are not in quotes.
func fields(line []byte, delimiter byte) [][]byte {
	var out [][]byte
	for {
		n := fieldEnd(line, delimiter)
		out = append(out, unquote(line[:n]))
		if n == len(line) {
			return out
		}
		line = line[n+1:]
	}
}

// fieldEnd returns the length of the field at the start of a line.
func fieldEnd(line []byte, delimiter byte) int {
	quoted := false
	for i, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case c == delimiter && !quoted:
			return i
		}
	}
	return len(line)
}

// unquote takes spaces and a pair of quotes away.
func unquote(field []byte) []byte {
	field = bytes.TrimSpace(field)
	if n := len(field); n >= 2 && field[0] == '"' && field[n-1] == '"' {
		return bytes.ReplaceAll(field[1:n-1], []byte(`""`), []byte(`"`))
	}
	return field
}

// excerpt is a field as a complaint shows it.
func excerpt(field []byte) string {
	if len(field) > 40 {
		return fmt.Sprintf("%q...", field[:40])
	}
	return fmt.Sprintf("%q", field)
}
