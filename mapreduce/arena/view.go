package arena

import "unsafe"

// view rebuilds a block from its first byte. The block is alive: the pointer to it says so.
func view(first *byte, size int) []byte { return unsafe.Slice(first, size) }

// Of lays a slice of fixed-size values without pointers over a block, for tables and arrays of entries. The block must
// be aligned for T, as all of Alloc's are, and be used through the slice alone while the slice is.
func Of[T any](block []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(block))), len(block)/int(unsafe.Sizeof(t)))
}
