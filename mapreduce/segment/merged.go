package segment

import (
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
)

// Merge makes one segment in dir of those in the directories from, which it leaves as they are. Theirs are the
// partitions of one job: nothing is sorted or compressed again, and each byte is compared with its checksum. What lies
// together afterwards is what one reducer reads.
//
//	| partition 0 of from[0] | 0 of from[1] | ... | partition 1 of from[0] | 1 of from[1] | ...
//
// It fails with errs.NotFound or errs.Corrupt if one of them is not there or damaged.
func Merge(dir string, from []string) error {
	const op = "segment.Merge"
	all := make([]*Range, 0, len(from))
	defer func() {
		for _, r := range all {
			_ = r.Close() // files that were only read
		}
	}()
	for _, name := range from {
		x, err := ReadIndex(name)
		if err != nil {
			return err
		}
		r, err := open(name, x)
		if err != nil {
			return err
		}
		all = append(all, r)
		if first := all[0].index; x.Layout != first.Layout || len(x.Parts) != len(first.Parts) {
			return errs.Errorf(op, errs.Corrupt, name, "it is not of the same job")
		}
	}
	if len(all) == 0 || len(all[0].index.Parts) > MaxParts/len(all) {
		return errs.Errorf(op, errs.Invalid, nil, "%d segments cannot be one", len(all))
	}
	to, err := Create(dir, all[0].index.Layout, WriterOptions{})
	if err != nil {
		return err
	}
	defer to.Abort() // no effect once committed
	for p := range all[0].index.Parts {
		for _, r := range all {
			if err := to.Copy(r, p); err != nil {
				return err
			}
			if err := to.End(); err != nil {
				return err
			}
		}
	}
	_, err = to.Commit()
	return err
}

// Unmerge returns what a range of a segment that Merge made of n has of each of the n, in their order. The range begins
// and ends with a whole partition of all of them, and is closed when all that it became are.
func (r *Range) Unmerge(n int) ([]*Range, error) {
	if n < 1 || r.index.First%n != 0 || len(r.index.Parts)%n != 0 {
		return nil, errs.Errorf("segment.Unmerge", errs.Corrupt, nil, "partitions %d and %d more are not of %d segments",
			r.index.First, len(r.index.Parts), n)
	}
	parts := make([]Part, 0, len(r.index.Parts))
	open, each := n, len(r.index.Parts)/n
	all := make([]*Range, n)
	for m := range all {
		for p := range each {
			parts = append(parts, r.index.Parts[p*n+m])
		}
		one := *r
		one.index = Index{Layout: r.index.Layout, First: r.index.First / n, Parts: slices.Clip(parts[m*each:])}
		one.free = func() error {
			if open--; open > 0 {
				return nil
			}
			return r.Close()
		}
		all[m] = &one
	}
	return all, nil
}
