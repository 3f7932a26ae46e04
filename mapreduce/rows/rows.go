// Package rows turns the columns of Parquet files into rows, each a JSON object, and rows into Parquet files.
//
//	BOOLEAN, INT32, INT64, FLOAT, DOUBLE    true or false, a number; "NaN", "+Inf" and "-Inf" for those
//	DECIMAL                                 a number with all its digits
//	STRING, ENUM, JSON                      a string
//	DATE, TIMESTAMP, INT96                  "2006-01-02", "2006-01-02T15:04:05.999999999Z", without Z if it is local
//	other bytes                             a string in base64
//	LIST and repeated columns               an array
//	MAP                                     an object; its keys are strings
//	other groups                            an object with a member for each column, in their order
//	no value                                null
//
// A Reader goes over the row groups of a file that begin in a range of its bytes, so that readers of ranges that cover
// the file see each row once, and reads the columns that are asked for and no others. A Writer has a Schema, which
// people write as "word string, n int64".
package rows

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	layout "github.com/parquet-go/parquet-go/format"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/parquetfile"
)

// Reader reads the rows of some row groups. It is used by one goroutine.
type Reader struct {
	groups []parquet.RowGroup // those not begun
	first  int64              // rows of the file before the first of them
	root   *node
	leaves []*leaf // that are read, of all columns
	left   int64   // rows of the current group
	buf    []byte
}

// NewReader returns a Reader of the row groups of f that begin at byte from or later, and before to. Columns are names
// of top columns; none means all. A name that there is not fails with errs.Invalid.
func NewReader(f *parquet.File, columns []string, from, to int64) (*Reader, error) {
	r := &Reader{root: &node{}}
	var known []string
	for _, c := range f.Root().Columns() {
		known = append(known, c.Name())
		if len(columns) == 0 || slices.Contains(columns, c.Name()) {
			r.add(r.root, c)
		}
	}
	for _, name := range columns {
		if !slices.Contains(known, name) {
			return nil, errs.Errorf("rows.Read", errs.Invalid, nil, "there is no column %q; there is %s", name,
				strings.Join(known, ", "))
		}
	}
	if len(r.leaves) == 0 {
		return nil, errs.Errorf("rows.Read", errs.Unsupported, nil, "there are no columns")
	}
	for i, g := range f.RowGroups() {
		switch at := begin(f.Metadata().RowGroups[i]); {
		case at < from:
			r.first += g.NumRows()
		case at < to:
			r.groups = append(r.groups, g)
		}
	}
	return r, nil
}

// begin returns where a row group begins.
func begin(g layout.RowGroup) int64 {
	if len(g.Columns) == 0 {
		return 0
	}
	m := g.Columns[0].MetaData
	if m.DictionaryPageOffset != 0 {
		return m.DictionaryPageOffset
	}
	return m.DataPageOffset
}

// First returns how many rows of the file come before those of the Reader.
func (r *Reader) First() int64 { return r.first }

// Next returns the next row, valid until the next call. At the end it returns io.EOF.
func (r *Reader) Next() (row []byte, err error) {
	defer parquetfile.Recover(&err)
	for r.left == 0 {
		if len(r.groups) == 0 {
			return nil, io.EOF
		}
		r.begin(r.groups[0])
		r.groups = r.groups[1:]
	}
	r.left--
	r.buf, err = r.root.object(r.buf[:0])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return r.buf, parquetfile.Damaged(err)
}

func (r *Reader) begin(g parquet.RowGroup) {
	_ = r.Close() // of columns that were read to their end
	chunks := g.ColumnChunks()
	for _, l := range r.leaves {
		l.pages = chunks[l.column].Pages()
	}
	r.left = g.NumRows()
}

// Close gives back what the current row group holds. It may be called again.
func (r *Reader) Close() error {
	var all error
	for _, l := range r.leaves {
		all = errors.Join(all, l.close())
	}
	return all
}

// node is a column, or a group of them.
type node struct {
	name     []byte // as JSON with the colon
	shape    shape
	optional bool
	repeated bool
	def, rep int   // levels of a value that is there
	leaf     *leaf // the first one in it
	children []*node
}

// shape is how a node is written.
type shape uint8

const (
	object shape = iota
	value        // it is a leaf
	list         // an array, of what is in its only child
	dict         // an object, of the keys and values in its only child
)

// add adds the column c below parent.
func (r *Reader) add(parent *node, c *parquet.Column) *node {
	name, err := json.Marshal(c.Name())
	if err != nil { // a string always can be marshalled
		name = []byte(`""`)
	}
	n := &node{
		name: append(name, ':'), optional: c.Optional(), repeated: c.Repeated(),
		def: c.MaxDefinitionLevel(), rep: c.MaxRepetitionLevel(),
	}
	parent.children = append(parent.children, n)
	if c.Leaf() {
		n.shape, n.leaf = value, &leaf{column: c.Index(), typ: c.Type()}
		r.leaves = append(r.leaves, n.leaf)
		return n
	}
	for _, child := range c.Columns() {
		r.add(n, child)
	}
	if len(n.children) > 0 {
		n.leaf = n.children[0].leaf
	}
	n.shape = shapeOf(c, n)
	return n
}

// shapeOf knows lists and maps. Both have one repeated group in them, which is no value of its own.
func shapeOf(c *parquet.Column, n *node) shape {
	logical := c.Type().LogicalType()
	if logical == nil || len(n.children) != 1 || !n.children[0].repeated {
		return object
	}
	inner := n.children[0]
	switch logical.Value.(type) {
	case *layout.ListType:
		name := c.Columns()[0].Name()
		if inner.shape == object && len(inner.children) == 1 && name != "array" && name != c.Name()+"_tuple" {
			inner.shape = list // older writers have no group: then the repeated column is the item
		}
		return list
	case *layout.MapType:
		if len(inner.children) == 2 && inner.children[0].shape == value {
			return dict
		}
	}
	return object
}

// append appends the node's value in the current row.
func (n *node) append(b []byte) ([]byte, error) {
	if n.leaf == nil {
		return append(b, "null"...), nil // a group of nothing
	}
	if n.optional || n.repeated {
		v, err := n.leaf.peek()
		if err != nil {
			return b, err
		}
		if v.DefinitionLevel() < n.def {
			if err := n.skip(); err != nil {
				return b, err
			}
			if n.repeated {
				return append(b, "[]"...), nil
			}
			return append(b, "null"...), nil
		}
	}
	if n.repeated {
		return n.array(b)
	}
	return n.one(b)
}

// one appends a value that is there.
func (n *node) one(b []byte) ([]byte, error) {
	switch n.shape {
	case value:
		v, err := n.leaf.next()
		if err != nil {
			return b, err
		}
		return appendValue(b, n.leaf.typ, v)
	case list:
		inner := n.children[0]
		return inner.append(b)
	case dict:
		return n.dict(b)
	}
	return n.object(b)
}

func (n *node) object(b []byte) (_ []byte, err error) {
	b = append(b, '{')
	for i, c := range n.children {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = c.append(append(b, c.name...)); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// array appends the values of a repeated node, of which there is one at least.
func (n *node) array(b []byte) (_ []byte, err error) {
	b = append(b, '[')
	for more := true; more; {
		if b, err = n.one(b); err != nil {
			return b, err
		}
		if more, err = n.leaf.repeats(n.rep); more {
			b = append(b, ',')
		}
		if err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

// dict appends a map.
func (n *node) dict(b []byte) (_ []byte, err error) {
	pairs := n.children[0]
	v, err := pairs.leaf.peek()
	if err != nil {
		return b, err
	}
	if v.DefinitionLevel() < pairs.def {
		return append(b, "{}"...), pairs.skip()
	}
	b = append(b, '{')
	for more := true; more; {
		at := len(b)
		if b, err = pairs.children[0].append(b); err != nil {
			return b, err
		}
		if b[at] != '"' {
			b = append(append(b[:at:at], '"'), append(b[at:len(b):len(b)], '"')...)
		}
		if b, err = pairs.children[1].append(append(b, ':')); err != nil {
			return b, err
		}
		if more, err = pairs.leaf.repeats(pairs.rep); more {
			b = append(b, ',')
		}
		if err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// skip takes the absent value of a node: one of each leaf in it.
func (n *node) skip() error {
	if n.shape == value {
		_, err := n.leaf.next()
		return err
	}
	for _, c := range n.children {
		if err := c.skip(); err != nil {
			return err
		}
	}
	return nil
}

// leaf reads the values of a column, page by page.
type leaf struct {
	column int
	typ    parquet.Type
	pages  parquet.Pages // of the current row group, nil before
	page   parquet.Page
	values parquet.ValueReader
	read   []parquet.Value // what is left of what was read
	buf    [256]parquet.Value
}

// peek returns the next value without taking it, or io.EOF at the end of the row group.
func (l *leaf) peek() (parquet.Value, error) {
	for len(l.read) == 0 {
		if l.values == nil {
			page, err := l.pages.ReadPage()
			if err != nil {
				return parquet.Value{}, err
			}
			l.page, l.values = page, page.Values()
		}
		n, err := l.values.ReadValues(l.buf[:])
		l.read = l.buf[:n]
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			l.release()
		case err == nil:
			return parquet.Value{}, io.ErrNoProgress
		default:
			return parquet.Value{}, err
		}
	}
	return l.read[0], nil
}

func (l *leaf) next() (parquet.Value, error) {
	v, err := l.peek()
	if err == nil {
		l.read = l.read[1:]
	}
	return v, err
}

// repeats reports whether the next value is one more of the repeated node of that level.
func (l *leaf) repeats(level int) (bool, error) {
	v, err := l.peek()
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return v.RepetitionLevel() == level, nil
}

// release gives back the page whose values were all taken.
func (l *leaf) release() {
	if l.page != nil {
		parquet.Release(l.page)
	}
	l.page, l.values, l.read = nil, nil, nil
}

func (l *leaf) close() error {
	l.release()
	pages := l.pages
	l.pages = nil
	if pages == nil {
		return nil
	}
	return pages.Close()
}

// describe is for errors about a value.
func describe(kind, text string) error {
	return errs.Errorf("rows.Write", errs.Failed, nil, "%.60s is no %s", text, kind)
}
