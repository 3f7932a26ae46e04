package parquetfile

import (
	"encoding/binary"
	"errors"
)

// The types of thrift's compact protocol, in which footer and page headers are written. A struct is a run of fields up
// to a zero byte:
//
//	| delta of id 4 bits | type 4 bits | value |        or, if the delta is 0, the id as a varint before the value
//
// Numbers are zig-zag varints, texts have their length before them, and lists
//
//	| length 4 bits | type of items 4 bits | items |     or, if the length is 15, the length as a varint before the items
const (
	typeTrue   = 1
	typeFalse  = 2
	typeI8     = 3
	typeI16    = 4
	typeI32    = 5
	typeI64    = 6
	typeDouble = 7
	typeBinary = 8
	typeList   = 9
	typeSet    = 10
	typeMap    = 11
	typeStruct = 12
	typeUUID   = 13
)

const (
	maxNesting = 32 // of values; Parquet nests half a dozen deep
	minStruct  = 3  // bytes of an item that is a struct: one field with its value, and the end
)

// errShort says that bytes are missing at the end.
var errShort = errors.New("it ends within a value")

// walker goes over values without keeping any.
type walker struct {
	rest    []byte
	nesting int
}

func (w *walker) skip(n uint64) error {
	if n > uint64(len(w.rest)) {
		return errShort
	}
	w.rest = w.rest[n:]
	return nil
}

func (w *walker) byte() (byte, error) {
	if len(w.rest) == 0 {
		return 0, errShort
	}
	b := w.rest[0]
	w.rest = w.rest[1:]
	return b, nil
}

func (w *walker) uvarint() (uint64, error) {
	v, n := binary.Uvarint(w.rest)
	switch {
	case n == 0:
		return 0, errShort
	case n < 0:
		return 0, damagedf("a number of more than 64 bits")
	}
	w.rest = w.rest[n:]
	return v, nil
}

func (w *walker) number() (int64, error) {
	u, err := w.uvarint()
	return int64(u>>1) ^ -int64(u&1), err
}

// list reads the head of a list, and makes sure that so many items can be there.
func (w *walker) list() (item byte, n uint64, err error) {
	head, err := w.byte()
	if err != nil {
		return 0, 0, err
	}
	item, n = head&0xf, uint64(head>>4)
	if n == 0xf {
		if n, err = w.uvarint(); err != nil {
			return 0, 0, err
		}
	}
	least := uint64(1)
	if item == typeStruct {
		least = minStruct
	}
	if n > uint64(len(w.rest))/least {
		return 0, 0, errShort
	}
	return item, n, nil
}

// fields goes over a struct. It hands each field to visit, which says whether it has taken the value.
func (w *walker) fields(visit func(id int64, kind byte) (taken bool, err error)) error {
	if w.nesting++; w.nesting > maxNesting {
		return damagedf("values are nested more than %d deep", maxNesting)
	}
	defer func() { w.nesting-- }()
	for id := int64(0); ; {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if delta := int64(head >> 4); delta != 0 {
			id += delta
		} else if id, err = w.number(); err != nil {
			return err
		}
		taken, err := visit(id, head&0xf)
		if err == nil && !taken {
			err = w.value(head&0xf, false)
		}
		if err != nil {
			return err
		}
	}
}

// ignore is a visit that takes nothing.
func ignore(int64, byte) (bool, error) { return false, nil }

// value goes over a value. The value of a bool is in its type, unless it is an item.
func (w *walker) value(kind byte, item bool) error {
	switch kind {
	case typeTrue, typeFalse:
		if !item {
			return nil
		}
		return w.skip(1)
	case typeI8:
		return w.skip(1)
	case typeI16, typeI32, typeI64:
		_, err := w.number()
		return err
	case typeDouble:
		return w.skip(8)
	case typeUUID:
		return w.skip(16)
	case typeBinary:
		n, err := w.uvarint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case typeStruct:
		return w.fields(ignore)
	case typeList, typeSet:
		item, n, err := w.list()
		if err != nil {
			return err
		}
		return w.items(n, func() error { return w.value(item, true) })
	case typeMap:
		return w.mapping()
	}
	return damagedf("a value of type %d", kind)
}

// items calls each for n items.
func (w *walker) items(n uint64, each func() error) error {
	if w.nesting++; w.nesting > maxNesting {
		return damagedf("values are nested more than %d deep", maxNesting)
	}
	defer func() { w.nesting-- }()
	for range n {
		if err := each(); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) mapping() error {
	n, err := w.uvarint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := w.byte()
	if err != nil {
		return err
	}
	if n > uint64(len(w.rest)) {
		return errShort
	}
	return w.items(n, func() error {
		if err := w.value(kinds>>4, true); err != nil {
			return err
		}
		return w.value(kinds&0xf, true)
	})
}
