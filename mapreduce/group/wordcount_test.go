package group_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/collect"
	"github.com/seed3322913c/runner/mapreduce/group"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// BenchmarkWordCount counts the words of the file that RUNNER_BENCH_TEXT names, else of text made up, with all of the
// data plane and nothing around it: maps of 64 MB write segments, reducers read their copies and write sorted text.
func BenchmarkWordCount(b *testing.B) {
	name := os.Getenv("RUNNER_BENCH_TEXT")
	if name == "" {
		name = makeText(b, 64<<20)
	}
	st, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	for _, memory := range []int64{600 << 20, 24 << 20} {
		b.Run(fmt.Sprintf("memory=%dMiB", memory>>20), func(b *testing.B) {
			b.SetBytes(st.Size())
			p := plane{text: name, size: st.Size(), pool: arena.New(arena.Options{}), memory: memory}
			for b.Loop() {
				p.dir = b.TempDir()
				if err := p.run(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(p.emitted.Load())/float64(b.N), "words")
			b.ReportMetric(float64(p.shuffled.Load())/float64(b.N), "shuffled")
			b.ReportMetric(float64(p.keys.Load())/float64(b.N), "keys")
			b.ReportMetric(float64(p.spilled.Load())/float64(b.N), "spilled")
		})
	}
}

// makeText writes text in which some words are frequent and most are rare, as they are in real text.
func makeText(b *testing.B, size int) string {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 3, 1<<22)
	var out []byte
	for len(out) < size {
		out = fmt.Appendf(out, "w%x ", zipf.Uint64()*0x9E3779B97F4A7C15>>40)
		if random.IntN(10) == 0 {
			out = append(out, '\n')
		}
	}
	name := filepath.Join(b.TempDir(), "text")
	if err := os.WriteFile(name, out, 0o666); err != nil {
		b.Fatal(err)
	}
	return name
}

// plane is one word count.
type plane struct {
	text   string
	size   int64
	dir    string
	pool   *arena.Pool
	memory int64 // of an attempt

	emitted, shuffled, keys, spilled atomic.Int64
}

const (
	splitSize  = 64 << 20
	partitions = 1024
	reducers   = 8
	workers    = 2
)

func (p *plane) maps() int { return int((p.size + splitSize - 1) / splitSize) }

func (p *plane) run(ctx context.Context) error {
	for _, stage := range []struct {
		tasks int
		body  func(ctx context.Context, task int) error
	}{{p.maps(), p.mapTask}, {reducers, p.reduceTask}} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(workers)
		for task := range stage.tasks {
			g.Go(func() error { return stage.body(ctx, task) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (p *plane) mapDir(task int) string { return filepath.Join(p.dir, fmt.Sprint("map-", task)) }

func (p *plane) mapTask(ctx context.Context, task int) error {
	budget := p.pool.Budget(p.memory)
	defer budget.Close()
	if err := os.Mkdir(p.mapDir(task), 0o777); err != nil {
		return err
	}
	sum := functions.NewInt64Fold(functions.FoldSum).(functions.Int64Folder)
	c, err := collect.NewFolder(sum, collect.FoldOptions{Options: collect.Options{
		Dir: p.mapDir(task), Scratch: p.dir, Budget: budget, Partitions: partitions}})
	if err != nil {
		return err
	}
	defer c.Abort()
	mapper, err := builtin.Mapper("wordcount", nil)
	if err != nil {
		return err
	}
	words := mapper.(functions.BatchMapper)
	at := int64(task) * splitSize
	split := []text.Piece{{Name: p.text, Offset: at, Length: min(splitSize, p.size-at)}}
	rd := text.NewReader(openFile, split, text.Options{Budget: budget})
	defer rd.Close()
	for {
		lines, err := rd.Batch(ctx)
		if err == io.EOF {
			break
		}
		if err == nil {
			_, err = words.MapBatch(lines, c)
		}
		if err != nil {
			return err
		}
	}
	if _, err := c.Finish(ctx); err != nil {
		return err
	}
	s := c.Stats()
	p.emitted.Add(s.Records)
	p.shuffled.Add(s.CombineOut)
	p.spilled.Add(s.Spilled - s.CombineOut)
	return nil
}

func openFile(_ context.Context, piece text.Piece, from int64) (io.ReadCloser, error) {
	f, err := os.Open(piece.Name)
	if err == nil {
		_, err = f.Seek(from, io.SeekStart)
	}
	return f, err
}

func (p *plane) reduceTask(ctx context.Context, task int) (err error) {
	fetched := p.pool.Budget(p.memory / 2)
	defer fetched.Close()
	lo, hi := task*partitions/reducers, (task+1)*partitions/reducers
	in := make([]*segment.Range, p.maps())
	for i := range in {
		if in[i], err = p.fetch(i, lo, hi, segment.ReceiveOptions{Budget: fetched, Dir: p.dir}); err != nil {
			return err
		}
		defer in[i].Close()
	}
	budget := p.pool.Budget(p.memory / 2)
	defer budget.Close()
	sum := functions.NewInt64Fold(functions.FoldSum).(functions.Int64Folder)
	g, err := group.NewFold(ctx, in, sum, group.Options{Scratch: p.dir, Budget: budget})
	if err != nil {
		return err
	}
	defer g.Close()
	f, err := os.Create(filepath.Join(p.dir, fmt.Sprint("part-", task)))
	if err != nil {
		return err
	}
	out := lineWriter{f: f, buf: make([]byte, 0, 1<<20)}
	err = errors.Join(g.Each(ctx, out.line), out.flush(), f.Sync(), f.Close())
	p.keys.Add(g.Stats().Groups)
	p.spilled.Add(g.Stats().Spilled)
	return err
}

// fetch copies partitions of a map, as a shuffle does.
func (p *plane) fetch(task, lo, hi int, opts segment.ReceiveOptions) (*segment.Range, error) {
	x, err := segment.ReadIndex(p.mapDir(task))
	if err != nil {
		return nil, err
	}
	x = x.Cut(lo, hi)
	rc, err := segment.NewReceiver(x, opts)
	if err != nil {
		return nil, err
	}
	defer rc.Abort()
	f, err := os.Open(filepath.Join(p.mapDir(task), segment.DataName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	offset, length := x.Span()
	body := io.NewSectionReader(f, offset, length)
	if _, err := io.CopyBuffer(struct{ io.Writer }{rc}, struct{ io.Reader }{body}, make([]byte, 256<<10)); err != nil {
		return nil, err
	}
	return rc.Finish()
}

// lineWriter writes key<TAB>value lines.
type lineWriter struct {
	f   *os.File
	buf []byte
}

func (w *lineWriter) line(key []byte, value int64) error {
	if len(w.buf)+len(key)+32 > cap(w.buf) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.buf = append(append(w.buf, key...), '\t')
	w.buf = append(strconv.AppendInt(w.buf, value, 10), '\n')
	return nil
}

func (w *lineWriter) flush() error {
	_, err := w.f.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}
