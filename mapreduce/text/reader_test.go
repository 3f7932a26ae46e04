package text

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
)

// files are opened by name.
type files map[string]string

func (f files) open(_ context.Context, p Piece, from int64) (io.ReadCloser, error) {
	content, ok := f[p.Name]
	if !ok {
		return nil, errs.E("", errs.NotFound, p.Name, nil)
	}
	return io.NopCloser(iotest.HalfReader(strings.NewReader(content[from:]))), nil
}

// model is what the lines of text are, with the offset of each.
func model(text string) (lines []string, offsets []int64) {
	at := int64(0)
	for line := range strings.Lines(text) {
		lines, offsets = append(lines, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")), append(offsets, at)
		if !strings.HasSuffix(line, "\n") {
			lines[len(lines)-1] = line // a carriage return belongs to a line's end only together with a newline
		}
		at += int64(len(line))
	}
	return lines, offsets
}

func budget(n int64) *arena.Budget { return arena.New(arena.Options{}).Budget(n) }

// TestSplits cuts texts into pieces anywhere and reads each with its own Reader: all lines come, once and in order.
func TestSplits(t *testing.T) {
	texts := rapid.StringOfN(rapid.RuneFrom([]rune("\n\n\n\r ab\u00e9\x00")), 0, 60, -1)
	rapid.Check(t, func(rt *rapid.T) {
		all := files{}
		var pieces []Piece
		var want, got []string
		var wantAt, gotAt []int64
		for i := range rapid.IntRange(1, 3).Draw(rt, "files") {
			name, text := fmt.Sprint("file", i), texts.Draw(rt, "text")
			all[name] = text
			lines, offsets := model(text)
			want, wantAt = append(want, lines...), append(wantAt, offsets...)
			for at := 0; ; {
				n := rapid.IntRange(0, len(text)-at).Draw(rt, "length")
				pieces = append(pieces, Piece{Name: name, Offset: int64(at), Length: int64(n)})
				if at += n; at == len(text) {
					break
				}
			}
		}
		lineByLine := rapid.Bool().Draw(rt, "line by line")
		opts := Options{Budget: budget(1 << 20), Buffer: rapid.IntRange(1, 40).Draw(rt, "buffer")}
		defer opts.Budget.Close()
		for len(pieces) > 0 {
			n := rapid.IntRange(1, len(pieces)).Draw(rt, "pieces in a split")
			split := pieces[:n]
			pieces = pieces[n:]
			r := NewReader(all.open, split, opts)
			for {
				var chunk []byte
				var err error
				if lineByLine {
					chunk, err = r.Line(t.Context())
				} else {
					chunk, err = r.Batch(t.Context())
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if cap(chunk)-len(chunk) < slack && !lineByLine {
					t.Fatalf("batch of %d bytes has a capacity of %d", len(chunk), cap(chunk))
				}
				_, at := r.Position()
				if lineByLine {
					got, gotAt = append(got, string(chunk)), append(gotAt, at)
					continue
				}
				lines, offsets := model(string(chunk))
				got = append(got, lines...)
				for _, o := range offsets {
					gotAt = append(gotAt, at+o)
				}
			}
			total := int64(0)
			for _, p := range split {
				total += p.Length
			}
			if r.Done() != total {
				t.Fatalf("done with %d bytes of %d", r.Done(), total)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(gotAt, wantAt) {
			t.Fatalf("got %q at %d\nwant %q at %d", got, gotAt, want, wantAt)
		}
		if opts.Budget.Left() != opts.Budget.Limit() {
			t.Fatal("memory is still held")
		}
	})
}

// TestMixed reads lines and batches in turn.
func TestMixed(t *testing.T) {
	text := strings.Repeat("one\ntwo\r\n\nthree\n", 50)
	opts := Options{Budget: budget(1 << 20), Buffer: 64}
	r := NewReader(files{"f": text}.open, []Piece{{"f", 0, int64(len(text))}}, opts)
	defer r.Close()
	var got []byte
	for i := 0; ; i++ {
		var chunk []byte
		var err error
		if i%3 == 0 {
			chunk, err = r.Batch(t.Context())
		} else {
			chunk, err = r.Line(t.Context())
			chunk = append(bytes.Clone(chunk), '\n')
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, at := r.Position(); !strings.HasPrefix(text[at:], string(bytes.TrimSuffix(chunk, []byte("\n")))) {
			t.Fatalf("%q is not at %d", chunk, at)
		}
		got = append(got, chunk...)
	}
	if want := strings.ReplaceAll(text, "\r", ""); strings.ReplaceAll(string(got), "\r", "") != want {
		t.Fatalf("got %q", got)
	}
}

func TestToEnd(t *testing.T) {
	r := NewReader(files{"a": "1\n2", "b": "", "c": "3"}.open, []Piece{{"a", 0, ToEnd}, {"b", 0, ToEnd}, {"c", 0, ToEnd}},
		Options{Budget: budget(1 << 20)})
	defer r.Close()
	var got []string
	for {
		line, err := r.Line(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(line))
	}
	if want := []string{"1", "2", "3"}; !slices.Equal(got, want) || r.Done() != 4 {
		t.Errorf("got %q, done with %d", got, r.Done())
	}
}

func TestLongLine(t *testing.T) {
	line := strings.Repeat("x", 3<<20)
	text := "short\n" + line + "\nshort"
	read := func(limit int64) (lengths []int, err error) {
		b := budget(limit)
		defer b.Close()
		r := NewReader(files{"f": text}.open, []Piece{{"f", 0, int64(len(text))}}, Options{Budget: b, Buffer: 1000})
		defer r.Close()
		for {
			line, err := r.Line(t.Context())
			if err != nil {
				return lengths, err
			}
			lengths = append(lengths, len(line))
		}
	}
	if lengths, err := read(8 << 20); err != io.EOF || !slices.Equal(lengths, []int{5, len(line), 5}) {
		t.Errorf("lines of %v bytes, %v", lengths, err)
	}
	lengths, err := read(2 << 20)
	told := errors.Is(err, errs.Exhausted) && strings.Contains(err.Error(), "line at byte 6 ")
	if !told || !slices.Equal(lengths, []int{5}) {
		t.Errorf("a line beyond the budget: lines of %v bytes, %v", lengths, err)
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("cable cut")
	for name, c := range map[string]struct {
		open     Opener
		piece    Piece
		canceled bool
		want     error
	}{
		"absent":      {files{}.open, Piece{"f", 0, 10}, false, errs.NotFound},
		"cut short":   {files{"f": "one\ntwo\n"}.open, Piece{"f", 0, 9}, false, errs.Corrupt},
		"gone in all": {files{"f": "one\ntwo\n"}.open, Piece{"f", 8, 9}, false, errs.Corrupt},
		"canceled":    {files{"f": "one\n"}.open, Piece{"f", 0, 4}, true, context.Canceled},
		"unreadable": {func(context.Context, Piece, int64) (io.ReadCloser, error) {
			return io.NopCloser(iotest.ErrReader(broken)), nil
		}, Piece{"f", 0, 4}, false, broken},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(c.open, []Piece{c.piece}, Options{Budget: budget(1 << 20)})
			defer r.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.canceled {
				cancel()
			}
			var err error
			for err == nil {
				_, err = r.Batch(ctx)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	text := strings.Repeat("a line of text, as they are, of some thirty to sixty bytes\n", 1<<16)
	opts := Options{Budget: budget(16 << 20)}
	open := func(context.Context, Piece, int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}
	for name, next := range map[string]func(*Reader, context.Context) ([]byte, error){
		"batch": (*Reader).Batch, "line": (*Reader).Line,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(open, []Piece{{"f", 0, int64(len(text))}}, opts)
				for {
					if _, err := next(r, b.Context()); err != nil {
						break
					}
				}
				r.Close()
			}
		})
	}
}
