//go:build !linux

package arena

// newBlock returns size bytes of the heap.
func newBlock(size int) (block, whole []byte) { return make([]byte, size), nil }

func unmap([]byte) {}
