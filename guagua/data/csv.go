package data

import (
	"bytes"
	"fmt"
)

// rows is what a parser makes of a chunk.
type rows[T Float] struct {
	block Block[T]
	bad   []badRow
}

// csvParser reads lines of fields. It is used by many goroutines at once.
type csvParser[T Float] struct {
	delimiter byte
	fields    int // of a row, the label included
	label     int // its field, -1 for none
	scale     float64
	labels    Labels
}

// parse makes rows of whole lines.
func (p *csvParser[T]) parse(text []byte) rows[T] {
	most := bytes.Count(text, []byte{'\n'}) + 1
	var out rows[T]
	b := &out.block
	b.Columns = p.fields
	if p.label >= 0 {
		b.Columns--
		b.Y = make([]float64, 0, most)
	}
	b.X = make([]T, most*b.Columns)
	for line := int64(0); len(text) > 0; line++ {
		x := b.X[b.Rows*b.Columns : (b.Rows+1)*b.Columns]
		n, label, err := p.row(text, x)
		switch {
		case err != nil:
			out.bad = append(out.bad, badRow{line, err.Error()})
		case n < 0: // an empty line
			n = -n
		default:
			b.Rows++
			if p.label >= 0 {
				b.Y = append(b.Y, label)
			}
		}
		text = text[n:]
	}
	b.X = b.X[:b.Rows*b.Columns]
	return out
}

// row reads the line at the start of text into x and returns how many bytes it has with its end; below 0 if it is
// empty.
func (p *csvParser[T]) row(text []byte, x []T) (n int, label float64, err error) {
	i, column := 0, 0
	for field := range p.fields {
		if field == p.label {
			end := fieldEnd(lineOf(text[i:]), p.delimiter)
			if label, err = p.labels.text(unquote(text[i : i+end])); err != nil {
				return p.bad(text, field, err)
			}
			i += end
		} else {
			v, k := number(text[i:])
			if k == 0 || !p.ends(text[i+k:]) {
				if v, k, err = p.spelled(text[i:]); err != nil {
					return p.bad(text, field, err)
				}
			}
			if p.scale != 1 {
				v /= p.scale
			}
			x[column] = T(v)
			column++
			i += k
		}
		if field+1 < p.fields {
			if i == len(text) || text[i] != p.delimiter {
				return p.bad(text, field, nil)
			}
			i++
		}
	}
	switch rest := text[i:]; {
	case len(rest) == 0:
		return i, label, nil
	case rest[0] == '\n':
		return i + 1, label, nil
	case rest[0] == '\r' && (len(rest) == 1 || rest[1] == '\n'):
		return min(i+2, len(text)), label, nil
	}
	return p.bad(text, p.fields-1, nil)
}

// ends reports whether a field ends here.
func (p *csvParser[T]) ends(rest []byte) bool {
	return len(rest) == 0 || rest[0] == p.delimiter || rest[0] == '\n' || rest[0] == '\r'
}

// spelled reads a field that is not plainly a number: with spaces, or in quotes.
func (p *csvParser[T]) spelled(text []byte) (v float64, n int, err error) {
	n = fieldEnd(lineOf(text), p.delimiter)
	field := unquote(text[:n])
	v, k := number(field)
	if k == 0 || k < len(field) {
		return 0, n, fmt.Errorf("%s is not a number", excerpt(field))
	}
	return v, n, nil
}

// bad says what is wrong with the line at the start of text. Empty lines are no rows.
func (p *csvParser[T]) bad(text []byte, field int, err error) (int, float64, error) {
	line := lineOf(text)
	n := min(len(line)+1, len(text))
	if line = bytes.TrimSuffix(line, []byte{'\r'}); len(bytes.TrimSpace(line)) == 0 {
		return -n, 0, nil
	}
	if have := len(fields(line, p.delimiter)); have != p.fields {
		return n, 0, fmt.Errorf("%d fields, want %d", have, p.fields)
	}
	if err == nil {
		err = fmt.Errorf("it can't be read")
	}
	return n, 0, fmt.Errorf("field %d: %w", field+1, err)
}

// lineOf returns the first line of text, without its end.
func lineOf(text []byte) []byte {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return text[:i]
	}
	return text
}
