package arena

// Region hands out small pieces of memory that are freed all together. It is used by one goroutine.
type Region struct {
	budget *Budget
	blocks [][]byte
	free   []byte // what is left of the newest slab
}

// NewRegion returns an empty region.
func NewRegion(b *Budget) *Region { return &Region{budget: b} }

// Alloc returns n bytes, rounded up to a multiple of 8, with no more capacity than that, aligned to 8, of unknown
// contents. It fails with errs.Exhausted when the budget has no room.
func (r *Region) Alloc(n int) ([]byte, error) {
	n = (n + 7) &^ 7
	if n <= len(r.free) {
		piece := r.free[:n:n]
		r.free = r.free[n:]
		return piece, nil
	}
	slab := r.budget.Slab()
	if n > slab/4 { // a block of its own, so that the rest of the slab in use is not wasted
		block, err := r.budget.Alloc(n)
		if err != nil {
			return nil, err
		}
		r.blocks = append(r.blocks, block)
		return block[:n:n], nil
	}
	block, err := r.budget.Alloc(slab)
	if err != nil {
		return nil, err
	}
	r.blocks = append(r.blocks, block)
	r.free = block[n:]
	return block[:n:n], nil
}

// Reset frees all pieces; the region can be used again.
func (r *Region) Reset() {
	for _, block := range r.blocks {
		r.budget.Free(block)
	}
	r.blocks, r.free = r.blocks[:0], nil
}
