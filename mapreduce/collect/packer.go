package collect

import (
	"errors"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// packer writes bins to a segment or spill. Records of a key that the cache did not bring together meet again in a bin;
// whether folding them is worth a look-up for every record is tried on the first bins.
type packer struct {
	c       *Folder
	w       *segment.Writer
	in, out int // records before and after folding, in the bins that were tried
}

const (
	trial = 1 << 14 // records that are folded before it is decided
	// worth is the percentage of records that may be left if folding is to go on: a look-up costs about as much as what
	// the reduce side does for a record, twice that where the record crosses a network.
	worth = 50
)

func (c *Folder) newPacker(w *segment.Writer) *packer { return &packer{c: c, w: w} }

// add writes all of bin i to the current partition.
func (p *packer) add(i int) error {
	if p.in < trial || p.out*100 <= p.in*worth {
		return p.fold(i)
	}
	return p.w.Append(p.c.bins.Chunks(i), p.c.bins.Records(i))
}

// fold writes one record for each key of bin i, or a few if the table cannot hold all keys at once.
func (p *packer) fold(i int) error {
	records := p.c.bins.Records(i)
	p.in += records
	p.c.table.Reset(records)
	for _, chunk := range p.c.bins.Chunks(i) {
		for len(chunk) > 0 {
			key, value, rest, err := segment.NextFolded(chunk)
			if err != nil {
				return err
			}
			if err = p.c.table.Add(key, value); errors.Is(err, errs.Exhausted) {
				err = p.overflow(key, value)
			}
			if err != nil {
				return err
			}
			chunk = rest
		}
	}
	return p.empty()
}

// overflow makes room in the table, and writes the record that found none.
func (p *packer) overflow(key []byte, value int64) error {
	if err := p.empty(); err != nil {
		return err
	}
	p.c.table.Reset(p.c.table.Len())
	p.out++
	return p.w.RecordInt64(key, value)
}

// empty writes what is in the table to the current partition.
func (p *packer) empty() error {
	p.out += p.c.table.Len()
	return p.c.table.All(p.w.RecordInt64)
}
