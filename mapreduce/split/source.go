package split

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// Source opens the files of one split, as they were when the job was planned, or not at all.
type Source struct {
	resolve store.Resolve
	split   Split
	files   map[string]File // by URI
	saved   int64           // bytes read of compressed files, less those that came of them
}

// NewSource returns the source of s.
func NewSource(resolve store.Resolve, s Split) *Source {
	src := &Source{resolve: resolve, split: s, files: make(map[string]File, len(s))}
	for _, p := range s {
		src.files[p.URI] = p.File
	}
	return src
}

// Pieces returns the split as package text reads it. Their names are URIs.
func (s *Source) Pieces() []text.Piece {
	pieces := make([]text.Piece, len(s.split))
	for i, p := range s.split {
		pieces[i] = text.Piece{Name: p.URI, Offset: p.Offset, Length: p.Length}
		if p.Compressed() {
			pieces[i].Offset, pieces[i].Length = 0, text.ToEnd
		}
	}
	return pieces
}

// Of returns in words which bytes of a file the split has: "split 50 to 100". It is empty if the split has no such
// file.
func (s *Source) Of(uri string) string {
	i := slices.IndexFunc(s.split, func(p Piece) bool { return p.URI == uri })
	if i < 0 {
		return ""
	}
	p := s.split[i]
	text := fmt.Sprintf("split %d to %d", p.Offset, p.Offset+p.Length)
	if p.Compressed() {
		text += " of the compressed file"
	}
	return text
}

// Size returns how many bytes a file of the split has.
func (s *Source) Size(uri string) int64 { return s.files[uri].Size }

// Saved returns how many bytes were read of compressed files, less those that came of them: what must be added to the
// bytes that a text.Reader has seen for those that were read.
func (s *Source) Saved() int64 { return s.saved }

// Open is a text.Opener. It fails with errs.Invalid if the file is no longer what was planned.
func (s *Source) Open(ctx context.Context, p text.Piece, from int64) (io.ReadCloser, error) {
	st, name, err := s.resolve(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	f := s.files[p.Name]
	r := &reader{at: from, size: f.Size, want: p.Offset + p.Length - from + overhang, more: 2 * overhang}
	r.open = func(r store.Range) (io.ReadCloser, error) { return f.open(ctx, st, name, r) }
	if !f.Compressed() {
		return r, nil
	}
	u := &unpacked{piece: s.compressed(f), file: r, saved: &s.saved}
	r.at, r.want = u.piece.Offset, min(u.piece.Length+blockOverhang, f.Size-u.piece.Offset)
	if _, err := io.CopyN(io.Discard, u, from); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	return u, nil
}

// compressed returns the piece of a compressed file, of which a split has only one.
func (s *Source) compressed(f File) Piece {
	i := slices.IndexFunc(s.split, func(p Piece) bool { return p.File == f })
	return s.split[i]
}

// open opens a range of the file, if it still is what was planned.
func (f File) open(ctx context.Context, st store.Store, name store.Name, r store.Range) (io.ReadCloser, error) {
	body, err := st.Open(ctx, name, r)
	if err != nil {
		return nil, f.missing(err)
	}
	if known, ok := body.(store.Reader); ok {
		info, err := known.Info()
		if err == nil {
			err = f.compare(info)
		}
		if err != nil {
			return nil, errors.Join(err, body.Close())
		}
	}
	return body, nil
}

// overhang is how much behind a piece is asked for together with it, to finish its last line.
const overhang = 64 << 10

// blockOverhang is the same for compressed blocks.
const blockOverhang = 1 << 20

// reader reads a file from an offset to its end as planned, but asks the store only for as much as is likely to be
// read: a store far away sends what it is asked for.
type reader struct {
	open     func(store.Range) (io.ReadCloser, error)
	at, size int64         // the next byte to read, and where the file ends
	part     io.ReadCloser // what is being read, nil between parts
	want     int64         // how many bytes are left of it
	more     int64         // how many the next one has: twice as many each time, since only a long line gets there
}

func (r *reader) Read(p []byte) (int, error) {
	for r.part == nil {
		if r.at >= r.size {
			return 0, io.EOF
		}
		part, err := r.open(store.Range{Offset: r.at, Length: min(r.want, r.size-r.at)})
		if err != nil {
			return 0, err
		}
		r.part = part
	}
	n, err := r.part.Read(p)
	r.at += int64(n)
	r.want -= int64(n)
	if errors.Is(err, io.EOF) && r.want <= 0 && r.at < r.size {
		err = r.Close()
		r.want, r.more = r.more, 2*r.more
	}
	return n, err
}

// Close ends the reading of the current part.
func (r *reader) Close() error {
	if r.part == nil {
		return nil
	}
	err := r.part.Close()
	r.part = nil
	return err
}

// Verify fails with errs.Invalid if a file of this machine is no longer what was planned: shorter, longer, replaced or
// gone. Then what was read may be wrong, and what the mapper made of it too. Objects elsewhere cannot change under
// their reader, and Open has looked at them.
func (s *Source) Verify(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, f := range s.files {
		if strings.HasPrefix(f.URI, "file://") {
			g.Go(func() error { return s.verify(ctx, f) })
		}
	}
	return g.Wait()
}

func (s *Source) verify(ctx context.Context, f File) error {
	st, name, err := s.resolve(ctx, f.URI)
	if err != nil {
		return err
	}
	now, err := st.Stat(ctx, name)
	if err != nil {
		return f.missing(err)
	}
	return f.compare(now)
}

// compare fails unless the file still is what was planned.
func (f File) compare(now store.Info) error {
	const op = "split.Verify"
	switch {
	case now.Size != f.Size:
		return errs.Errorf(op, errs.Invalid, nil, "input %s was changed while the job ran: it had %d bytes, now %d",
			f.URI, f.Size, now.Size)
	case now.Version != f.Version:
		return errs.Errorf(op, errs.Invalid, nil, "input %s was changed while the job ran: it has other bytes now", f.URI)
	}
	return nil
}

// missing says that the file is gone, if that is what err means.
func (f File) missing(err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return errs.Errorf("split.Verify", errs.Invalid, nil, "input %s was removed while the job ran", f.URI)
	}
	return err
}
