package parquetfile

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

const (
	magic    = "PAR1"
	tail     = 8   // bytes: the footer's length, and magic
	maxDepth = 100 // of columns in columns
)

// checkFooterOf reads the footer of a file and checks it.
func checkFooterOf(r io.ReaderAt, size int64) error {
	if size < int64(len(magic)+tail) {
		return damagedf("a file of %d bytes is too short", size)
	}
	var end [tail]byte
	if err := readAt(r, end[:], size-tail); err != nil {
		return err
	}
	if string(end[4:]) != magic {
		return damagedf("it ends with %q, not with %s", end[4:], magic)
	}
	length := int64(binary.LittleEndian.Uint32(end[:]))
	if length > size-int64(len(magic)+tail) || length > MaxFooter {
		return damagedf("a footer of %d bytes in a file of %d", length, size)
	}
	b := make([]byte, length)
	if err := readAt(r, b, size-tail-length); err != nil {
		return err
	}
	return checkFooter(b)
}

// readAt fills b.
func readAt(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// The fields of the footer that other lengths depend on.
const (
	fieldSchema    = 2 // of FileMetaData: list of SchemaElement
	fieldGroups    = 4 // of FileMetaData: list of RowGroup
	fieldChildren  = 5 // of SchemaElement: how many of those after it are its children
	maxAllChildren = 1 << 30
)

// checkFooter goes over the whole footer. The library makes a table of all columns times all row groups, and walks the
// tree of columns, so that these are looked at apart.
func checkFooter(b []byte) error {
	w := walker{rest: b}
	var schema []int64 // children of each element
	var groups uint64
	err := w.fields(func(id int64, kind byte) (bool, error) {
		if kind != typeList || id != fieldSchema && id != fieldGroups {
			return false, nil
		}
		item, n, err := w.list()
		if err != nil {
			return true, err
		}
		if item != typeStruct {
			return true, damagedf("a list of type %d where structs belong", item)
		}
		if id == fieldGroups {
			groups = max(groups, n)
			return true, w.items(n, func() error { return w.fields(ignore) })
		}
		return true, w.items(n, func() error {
			children, err := w.children()
			schema = append(schema, children)
			return err
		})
	})
	if err != nil {
		return err
	}
	if uint64(len(schema))*groups > uint64(len(b)) {
		return damagedf("%d columns in %d row groups do not fit in a footer of %d bytes", len(schema), groups, len(b))
	}
	return checkTree(schema)
}

// children goes over a SchemaElement.
func (w *walker) children() (n int64, err error) {
	err = w.fields(func(id int64, kind byte) (taken bool, err error) {
		if id != fieldChildren || kind != typeI32 {
			return false, nil
		}
		n, err = w.number()
		return true, err
	})
	return n, err
}

// checkTree fails unless the elements make one tree: each is followed by its children.
func checkTree(children []int64) error {
	var open []int64 // how many children are missing, of each element above
	for i, n := range children {
		if i > 0 && len(open) == 0 {
			return damagedf("%d columns, but only the first %d are in the tree", len(children), i)
		}
		if len(open) > 0 {
			open[len(open)-1]--
		}
		if n < 0 || n > maxAllChildren {
			return damagedf("a column with %d columns in it", n)
		}
		if n > 0 {
			open = append(open, n)
		}
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
		if len(open) > maxDepth {
			return damagedf("columns are nested more than %d deep", maxDepth)
		}
	}
	if len(open) > 0 || len(children) == 0 {
		return damagedf("the tree of %d columns is not complete", len(children))
	}
	return nil
}

// chunk is where the pages of a column in a row group are.
type chunk struct {
	start, end int64
	codec      format.CompressionCodec
	length     int64 // bytes of a value of fixed length, else 0
	values     int64 // that pages not yet looked at may have
	next       int64 // where the next page header is that was not looked at
}

// chunksOf returns the chunks of all columns, in their order in the file.
func chunksOf(f *parquet.File, size int64) ([]chunk, error) {
	lengths := make([]int64, 0, len(f.Metadata().Schema))
	for _, e := range f.Metadata().Schema {
		if e.Type.Valid { // else it is a group
			lengths = append(lengths, int64(e.TypeLength.V))
		}
	}
	var all []chunk
	for i, g := range f.Metadata().RowGroups {
		if len(g.Columns) != len(lengths) || g.NumRows < 0 {
			return nil, damagedf("row group %d has %d columns of %d, and %d rows", i, len(g.Columns), len(lengths), g.NumRows)
		}
		for k, c := range g.Columns {
			m := c.MetaData
			if m.TotalCompressedSize == 0 {
				continue // no rows, no pages
			}
			start := m.DataPageOffset
			if m.DictionaryPageOffset != 0 {
				start = m.DictionaryPageOffset
			}
			if start < int64(len(magic)) || m.TotalCompressedSize < 0 || start > size || m.TotalCompressedSize > size-start ||
				m.NumValues < 0 || lengths[k] < 0 {
				return nil, damagedf("column %d of row group %d: %d values, %d bytes at %d of a file of %d", k, i, m.NumValues,
					m.TotalCompressedSize, start, size)
			}
			all = append(all, chunk{
				start: start, end: start + m.TotalCompressedSize, codec: m.Codec, length: lengths[k], values: m.NumValues,
				next: start,
			})
		}
	}
	slices.SortFunc(all, func(a, b chunk) int { return int(min(max(a.start-b.start, -1), 1)) })
	for i := 1; i < len(all); i++ {
		if all[i].start < all[i-1].end {
			return nil, damagedf("two columns have the bytes at %d", all[i].start)
		}
	}
	return all, nil
}
