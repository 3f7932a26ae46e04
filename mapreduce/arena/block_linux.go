package arena

import (
	"syscall"
	"unsafe"
)

// newBlock returns size bytes, in huge pages if they fill one, and the mapping that unmap takes (nil: from the heap).
// Without room it returns nil.
func newBlock(size int) (block, whole []byte) {
	if size < DefaultSlab {
		return make([]byte, size), nil
	}
	// A huge page needs an aligned address, which the kernel does not promise; untouched pages around it cost nothing.
	whole, err := syscall.Mmap(-1, 0, size+DefaultSlab, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, nil
	}
	off := -int(uintptr(unsafe.Pointer(&whole[0]))) & (DefaultSlab - 1)
	block = whole[off : off+size : off+size]
	_ = syscall.Madvise(block, syscall.MADV_HUGEPAGE) // only advice: a kernel without huge pages refuses, and is slower
	return block, whole
}

func unmap(whole []byte) {
	_ = syscall.Munmap(whole) // fails only for addresses that were never mapped
}
