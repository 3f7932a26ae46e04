package data

import (
	"bytes"
	"fmt"
	"math"
)

// svmParser reads lines of a label and index:value pairs. It is used by many goroutines at once.
type svmParser[T Float] struct {
	scale  float64
	labels Labels
}

// parse makes sparse rows of whole lines.
func (p *svmParser[T]) parse(text []byte) rows[T] {
	var out rows[T]
	b := &out.block
	b.Starts = []int32{0}
	b.Y = []float64{}
	for line := int64(0); len(text) > 0; line++ {
		row := lineOf(text)
		text = text[min(len(row)+1, len(text)):]
		row, _, _ = bytes.Cut(row, []byte{'#'})
		if row = bytes.TrimSpace(row); len(row) == 0 {
			continue
		}
		before := len(b.Values)
		if err := p.row(row, b); err != nil {
			out.bad = append(out.bad, badRow{line, err.Error()})
			b.Values, b.Indexes = b.Values[:before], b.Indexes[:before]
			continue
		}
		b.Rows++
		b.Starts = append(b.Starts, int32(len(b.Values)))
	}
	return out
}

func (p *svmParser[T]) row(row []byte, b *Block[T]) error {
	n := space(row)
	label, err := p.labels.text(row[:n])
	if err != nil {
		return err
	}
	last := 0
	for row = bytes.TrimLeft(row[n:], " \t"); len(row) > 0; row = bytes.TrimLeft(row, " \t") {
		pair := row[:space(row)]
		row = row[len(pair):]
		index, n := 0, 0
		for n < len(pair) && pair[n]-'0' <= 9 && index < math.MaxInt32/10 {
			index = index*10 + int(pair[n]-'0')
			n++
		}
		if n == 0 || n == len(pair) || pair[n] != ':' {
			if bytes.HasPrefix(pair, []byte("qid:")) {
				continue
			}
			return fmt.Errorf("%s is not index:value", excerpt(pair))
		}
		v, k := number(pair[n+1:])
		if k == 0 || k < len(pair)-n-1 {
			return fmt.Errorf("%s is not a number", excerpt(pair[n+1:]))
		}
		if index <= last {
			return fmt.Errorf("index %d comes after %d: they must ascend from 1", index, last)
		}
		last = index
		b.Indexes = append(b.Indexes, int32(index-1))
		b.Values = append(b.Values, T(v/p.scale))
	}
	b.Columns = max(b.Columns, last)
	b.Y = append(b.Y, label)
	return nil
}

// space returns where the first space or TAB is.
func space(b []byte) int {
	if i := bytes.IndexAny(b, " \t"); i >= 0 {
		return i
	}
	return len(b)
}
