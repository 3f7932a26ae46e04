package namespace

import "slices"

// arena keeps names, one after the other, and never moves or frees them; a restored checkpoint starts without the dead
// ones. Chunks have no pointers in them.
type arena struct {
	chunks [][]byte
}

// chunkSize is a power of two; no name crosses the end of a chunk.
const chunkSize = 1 << 20

// MaxName is the longest component of a path, in bytes, as at HDFS.
const MaxName = 255

// name says where a name is: 40 bits of place, 8 of length.
type name struct {
	low    uint32
	high   uint8
	length uint8
}

func (a *arena) add(s string) name {
	n := len(a.chunks)
	if n == 0 || len(a.chunks[n-1])+len(s) > chunkSize {
		a.chunks = append(a.chunks, make([]byte, 0, chunkSize))
		n++
	}
	at := uint64(n-1)*chunkSize + uint64(len(a.chunks[n-1]))
	a.chunks[n-1] = append(a.chunks[n-1], s...)
	return name{uint32(at), uint8(at >> 32), uint8(len(s))}
}

// bytes returns a name to look at.
func (a *arena) bytes(n name) []byte {
	at := uint64(n.high)<<32 | uint64(n.low)
	return a.chunks[at/chunkSize][at%chunkSize:][:n.length]
}

// snapshot returns the names so far; they never change, so only the list of chunks is copied.
func (a *arena) snapshot() arena { return arena{slices.Clone(a.chunks)} }

// rename returns the place of s, given the place of the old name: a name that begins with the new one, as
// "x._COPYING_" with "x", lends its bytes.
func (a *arena) rename(old name, s string) name {
	if b := a.bytes(old); len(s) <= len(b) && string(b[:len(s)]) == s {
		old.length = uint8(len(s))
		return old
	}
	return a.add(s)
}

// table gives numbers to the few names of owners and groups, so that a record has no pointers.
type table struct {
	names []string
	ids   map[string]uint32
}

func (t *table) intern(s string) uint32 {
	if id, ok := t.ids[s]; ok {
		return id
	}
	if t.ids == nil {
		t.ids = map[string]uint32{}
	}
	id := uint32(len(t.names))
	t.names = append(t.names, s)
	t.ids[s] = id
	return id
}

func (t *table) name(id uint32) string { return t.names[id] }
