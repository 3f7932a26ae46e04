// Package fsck compares what a namespace says with what is in its store.
//
//	                 in the store    not there
//	a file has it    healthy*        missing
//	nobody has it    orphan          -
//
// (*) or corrupt: shorter than the file says, or, if the bytes are read, with another checksum.
//
// An orphan is what is left when a writer died between its bytes and its entry in the journal. It is deleted when it is
// older than a grace time and was begun under an earlier leader: nobody can give it to a file any more. What was begun
// under this leader may be a part of a file that is still being written, however old it is, so it is only told of. An
// object that small files share is an orphan, too, when they have all been deleted.
package fsck

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Options of a check.
type Options struct {
	Path   string // only files at and below it are told of; "" or "/" for all
	Verify bool   // read all bytes, and compare checksums
	Rate   int64  // bytes a second at most, when they are read; 0: as fast as it goes
	Delete bool   // delete orphans

	Grace time.Duration    // how old an orphan must be to be deleted; 0 means 24 h
	Now   func() time.Time // nil means time.Now
	// Progress is called now and then, and must not block. nil: not.
	Progress func(Report)
}

// Report is what was found. Lists are cut after Listed entries, the counts go on.
type Report struct {
	Files   int   `json:"files"`
	Blocks  int   `json:"blocks"`
	Bytes   int64 `json:"bytes"`   // of blocks
	Read    int64 `json:"read"`    // bytes that were compared with checksums
	Objects int   `json:"objects"` // in the store

	Missing int `json:"missing"`
	Corrupt int `json:"corrupt"`
	Orphans int `json:"orphans"`
	Deleted int `json:"deleted"` // of the orphans

	OrphanBytes int64     `json:"orphanBytes"`
	Problems    []Problem `json:"problems"` // missing and corrupt blocks
	Lost        []Orphan  `json:"lost"`     // orphans
}

// Healthy reports whether all files have all their bytes, as far as was looked.
func (r Report) Healthy() bool { return r.Missing+r.Corrupt == 0 }

// Listed bounds the lists of a Report.
const Listed = 1000

// Problem is a block of a file that is not there as it should be.
type Problem struct {
	Path   string `json:"path"`
	Object string `json:"object"`
	Why    string `json:"why"`
}

// Orphan is an object that no file has.
type Orphan struct {
	Object   string    `json:"object"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Deleted  bool      `json:"deleted"`
}

// check is one on its way.
type check struct {
	o      Options
	st     store.Store
	tree   *namespace.Tree
	census *namespace.Census
	epoch  uint64
	report Report
	seen   []bool // by index in census
}

// Check looks at everything. Epoch is that of the leader whose tree it is.
func Check(ctx context.Context, st store.Store, tree *namespace.Tree, epoch uint64, o Options) (Report, error) {
	if o.Grace == 0 {
		o.Grace = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Report) {}
	}
	c := &check{o: o, st: st, tree: tree, epoch: epoch, report: Report{Problems: []Problem{}, Lost: []Orphan{}}}
	// First the objects, then the tree: what is in the tree was in the store before. An object that a file gets in
	// between is in the tree, and one that is dropped in between is known as such.
	objects, err := c.list(ctx)
	if err != nil {
		return c.report, err
	}
	c.census = tree.Census()
	c.seen = make([]bool, c.census.Len())
	c.report.Files = c.census.Files
	for _, info := range objects {
		if err := c.object(ctx, info); err != nil {
			return c.report, err
		}
	}
	if err := c.missing(ctx); err != nil {
		return c.report, err
	}
	return c.report, c.verify(ctx)
}

// every is after how many objects the progress is told.
const every = 1000

func (c *check) list(ctx context.Context) (all []store.Info, err error) {
	for info, err := range c.st.List(ctx, block.Prefix) {
		if err != nil {
			return nil, err
		}
		all = append(all, info)
		if c.report.Objects++; c.report.Objects%every == 0 {
			c.o.Progress(c.report)
		}
	}
	return all, nil
}

// object compares one object with the blocks of its name.
func (c *check) object(ctx context.Context, info store.Info) error {
	id, ok := block.ParseName(info.Name)
	if !ok {
		return nil // not ours
	}
	for i := range c.census.In(id) {
		c.seen[i] = true
		c.short(i, info)
	}
	if !c.census.Uses(id) {
		return c.orphan(ctx, id, info)
	}
	return nil
}

func (c *check) orphan(ctx context.Context, id uint64, info store.Info) error {
	o := Orphan{Object: string(info.Name), Size: info.Size, Modified: info.Modified.UTC()}
	// Blocks that share an object get to their files at once, whoever leads.
	old := namespace.IsPacked(id) || namespace.EpochOf(id) < c.epoch
	if c.o.Delete && old && c.o.Now().Sub(info.Modified) > c.o.Grace {
		if err := c.st.Delete(ctx, info.Name); err != nil {
			return err
		}
		o.Deleted = true
		c.report.Deleted++
	}
	c.report.Orphans++
	c.report.OrphanBytes += info.Size
	if len(c.report.Lost) < Listed {
		c.report.Lost = append(c.report.Lost, o)
	}
	return nil
}

// short tells if an object ends before a block does.
func (c *check) short(i int, info store.Info) {
	b := c.census.Block(i)
	_, offset := namespace.ObjectOf(b.ID)
	if need := offset + block.ObjectSize(b); info.Size < need {
		c.problem(i, &c.report.Corrupt, "it has %d bytes, the file needs %d", info.Size, need)
	}
}

func (c *check) problem(i int, count *int, why string, args ...any) {
	path := c.census.Path(i)
	if !below(path, c.o.Path) {
		return
	}
	*count++
	if len(c.report.Problems) < Listed {
		name := block.ObjectName(c.census.Block(i).ID)
		c.report.Problems = append(c.report.Problems, Problem{path, string(name), fmt.Sprintf(why, args...)})
	}
}

func below(path, dir string) bool {
	return dir == "" || dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// missing finds blocks whose objects were not in the list, and looks again: they may be younger than it. So may be the
// deletion of their files, which took them away since.
func (c *check) missing(ctx context.Context) error {
	var absent []int
	for i, seen := range c.seen {
		b := c.census.Block(i)
		c.report.Blocks++
		c.report.Bytes += b.Length
		if seen {
			continue
		}
		info, err := c.st.Stat(ctx, block.ObjectName(b.ID))
		switch {
		case errs.KindOf(err) == errs.NotFound:
			absent = append(absent, i)
		case err != nil:
			return err
		default:
			c.short(i, info)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	now := c.tree.Census()
	for _, i := range absent {
		if now.Has(c.census.Block(i).ID) {
			c.problem(i, &c.report.Missing, "there is no such object")
		}
	}
	return nil
}

// verify reads what is to be read, once for all files that share a block.
func (c *check) verify(ctx context.Context) error {
	if !c.o.Verify {
		return nil
	}
	out := c.sink(ctx)
	for i := range c.seen {
		b := c.census.Block(i)
		if i > 0 && c.census.Block(i-1) == b || !below(c.census.Path(i), c.o.Path) {
			continue
		}
		switch err := block.Verify(ctx, c.st, out, b); errs.KindOf(err) {
		case errs.NotFound: // told already, or deleted meanwhile with its file
		case errs.Corrupt:
			c.problem(i, &c.report.Corrupt, "%s", errs.Cause(err))
		default:
			if err != nil {
				return err
			}
		}
		if i%every == 0 {
			c.o.Progress(c.report)
		}
	}
	return nil
}

// sink takes what is read: it counts, and keeps to the rate.
func (c *check) sink(ctx context.Context) io.Writer {
	const burst = 1 << 20 // more than is read at once
	limit := rate.NewLimiter(rate.Limit(c.o.Rate), burst)
	if c.o.Rate <= 0 {
		limit.SetLimit(rate.Inf)
	}
	return writer(func(p []byte) (int, error) {
		c.report.Read += int64(len(p))
		return len(p), limit.WaitN(ctx, len(p))
	})
}

// writer is a function as an io.Writer.
type writer func(p []byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w(p) }
