package mapreduce

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// TestRandomJobs draws jobs (what they compute, their input, every option that must make no difference, and damage to
// what maps left) and compares what comes out with a model that has everything in memory. RUNNER_TEST_JOBS is how many,
// RUNNER_TEST_SEED the first one's seed; the next one's is one more.
func TestRandomJobs(t *testing.T) {
	jobs, seed := uint64(20), seedtest.Seed(t)
	if testing.Short() {
		jobs = 6
	}
	if text := os.Getenv("RUNNER_TEST_JOBS"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		jobs = given
	}
	for i := range jobs {
		if !t.Run(strconv.FormatUint(seed+i, 10), func(t *testing.T) { testRandomJob(t, seed+i) }) {
			t.Fatalf("again with %s=%d RUNNER_TEST_JOBS=1", seedtest.Env, seed+i)
		}
	}
}

func testRandomJob(t *testing.T, seed uint64) {
	d := &drawing{Rand: rand.New(rand.NewPCG(seed, 1)), t: t}
	d.program()
	d.division()
	c := newCluster(t, BodyOptions{NoLocal: d.IntN(2) == 0})
	c.memory, c.slots = pick(d.Rand, int64(8<<20), 16<<20, 64<<20), 1+d.IntN(4)
	if d.IntN(2) == 0 {
		c.after = d.damage(c)
	}
	if maps := d.IntN(12); d.opts.Shuffle == LocalShuffle && maps > 1 {
		c.before = func(a *scheduler.Attempt) { d.merge(a, maps) }
	}
	job := newJob(t, d.opts, t.TempDir()+"/out", fill(t, d.files()))
	t.Logf("%d lines, memory %d MiB, %d slots: %s", len(d.lines), c.memory>>20, c.slots, job.Engine)
	if _, err := c.run(job); err != nil {
		t.Fatal(err)
	}
	d.compare(c.parts(strings.TrimPrefix(job.Output, "file://")))
	if _, left := c.keptIn(job.ID); left > 0 {
		t.Errorf("%d objects are left of the shuffle", left)
	}
}

// drawing is a job that is being drawn.
type drawing struct {
	*rand.Rand
	t       *testing.T
	opts    Options
	lines   []string                      // of input
	keyOnly bool                          // lines of the output are keys
	model   func(lines []string) []string // what the output has, in any order
}

// program draws what is computed, and the lines to compute it from.
func (d *drawing) program() {
	size := pick(d.Rand, 0, 1, 10, 1000, 30_000)
	word := func() string { return strconv.Itoa(int(float64(size) * d.Float64() * d.Float64() * d.Float64())) }
	set := functions.Params{}
	switch d.IntN(4) {
	case 0:
		d.opts = builtins("wordcount", pick(d.Rand, "sum", ""), "sum")
		d.lines = d.draw(size, func() string { return strings.Repeat(word()+" ", d.IntN(8)) + word() })
		d.model = fold(func(line string, add func(string, int64)) {
			for _, w := range strings.Fields(line) {
				add(w, 1)
			}
		}, func(a, b int64) int64 { return a + b })
	case 1:
		op := pick(d.Rand, "sum", "min", "max")
		set["op"], set["type"] = op, pick(d.Rand, "int", "float")
		d.opts = builtins("aggregate", pick(d.Rand, "aggregate", ""), "aggregate")
		d.lines = d.draw(size, func() string { return fmt.Sprintf("k%s\t%d", word(), d.IntN(2000)-1000) })
		d.model = fold(func(line string, add func(string, int64)) {
			key, text, _ := strings.Cut(line, "\t")
			n, _ := strconv.ParseInt(text, 10, 64)
			add(key, n)
		}, map[string]func(a, b int64) int64{
			"sum": func(a, b int64) int64 { return a + b },
			"min": func(a, b int64) int64 { return min(a, b) }, "max": func(a, b int64) int64 { return max(a, b) },
		}[op])
	case 2:
		d.opts, d.keyOnly = builtins("sort", "", "sort"), true
		d.opts.Key = functions.KeyOrder{Numeric: d.IntN(3) == 0, Reverse: d.IntN(3) == 0}
		d.lines = d.draw(size, func() string { return word() + strings.Repeat("x", d.IntN(3)*d.IntN(30)) })
		d.model = slices.Clone[[]string]
	case 3:
		d.opts = builtins("sort", "", "count")
		d.opts.Key = functions.KeyOrder{
			Group: 1, Separator: ":", Numeric: d.IntN(2) == 0, Reverse: d.IntN(2) == 0,
		}
		d.lines = d.draw(size, func() string { return word() + ":" + strconv.Itoa(d.IntN(50)) })
		d.model = d.groups
	}
	d.opts.Set = set
}

func (d *drawing) draw(n int, line func() string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line()
	}
	return lines
}

// fold is a model of what makes one number of each key.
func fold(of func(line string, add func(string, int64)), op func(a, b int64) int64) func([]string) []string {
	return func(lines []string) (out []string) {
		all := map[string]int64{}
		for _, line := range lines {
			of(line, func(key string, n int64) {
				if before, ok := all[key]; ok {
					n = op(before, n)
				}
				all[key] = n
			})
		}
		for key, n := range all {
			out = append(out, fmt.Sprintf("%s\t%d", key, n))
		}
		return out
	}
}

// groups is the model of counting the keys of each group, under the first of them.
func (d *drawing) groups(lines []string) (out []string) {
	sorted := slices.SortedFunc(slices.Values(lines), d.order)
	for len(sorted) > 0 {
		group := d.opts.Key.GroupOf([]byte(sorted[0]))
		n := slices.IndexFunc(sorted, func(s string) bool { return !bytes.Equal(d.opts.Key.GroupOf([]byte(s)), group) })
		if n < 0 {
			n = len(sorted)
		}
		out = append(out, fmt.Sprintf("%s\t%d", sorted[0], n))
		sorted = sorted[n:]
	}
	return out
}

// division draws how the work is divided and stored, which must make no difference.
func (d *drawing) division() {
	o := &d.opts
	o.SplitSize = pick(d.Rand, int64(0), 100, 10_000, 100_000)
	if len(d.lines) > 5000 {
		o.SplitSize = max(o.SplitSize, 20_000) // each map takes some milliseconds
	}
	o.Partitioner = pick(d.Rand, HashPartitioner, TotalOrderPartitioner)
	if n := d.IntN(8); n > 0 {
		o.Reducers = ExactReducers(n)
	}
	o.Shuffle = pick(d.Rand, LocalShuffle, StoreShuffle)
	o.ShuffleCompress = pick(d.Rand, "", "none", "s2", "zstd")
	o.Compress = pick(d.Rand, append(codec.Names(), codec.None, codec.None, codec.None)...)
}

// files divides the lines among files, some of them compressed.
func (d *drawing) files() map[string]string {
	files := map[string]string{"empty": ""}
	rest := d.lines
	for i := 0; len(rest) > 0; i++ {
		n := min(len(rest), 1+d.IntN(len(d.lines)))
		text := strings.Join(rest[:n], pick(d.Rand, "\n", "\r\n"))
		if d.IntN(2) == 0 || text == "" { // an empty line at the end is none without it
			text += "\n"
		}
		rest = rest[n:]
		c := pick(d.Rand, append(codec.Names(), codec.None, codec.None, codec.None)...)
		var b bytes.Buffer
		w, err := c.NewWriter(&b)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			d.t.Fatal(err)
		}
		files[fmt.Sprintf("%03d%s", i, c.Ext())] = b.String()
	}
	return files
}

// damage returns what spoils the output of one map in a way that is drawn.
func (d *drawing) damage(c *cluster) func(scheduler.Attempt, []byte) []byte {
	spared := d.IntN(3)
	done := false
	return func(a scheduler.Attempt, data []byte) []byte {
		if a.ID.Task.Stage != mapStage || a.ID.N > 0 || done {
			return data
		}
		if spared--; spared >= 0 {
			return data
		}
		done = true
		name := filepath.Join(a.Dir, pick(d.Rand, segment.DataName, segment.IndexName))
		b, err := os.ReadFile(name)
		if err != nil {
			d.t.Fatal(err)
		}
		switch d.IntN(3) {
		case 0:
			err = os.RemoveAll(a.Dir)
		case 1:
			err = os.WriteFile(name, b[:len(b)/2], 0o666)
		case 2:
			if len(b) > 0 {
				b[d.IntN(len(b))] ^= byte(1 + d.IntN(255))
			}
			err = os.WriteFile(name, b, 0o666)
		}
		if err != nil {
			d.t.Fatal(err)
		}
		if d.opts.Shuffle == StoreShuffle {
			c.replaceKept(a)
		}
		return data
	}
}

// merge has a reducer read blocks of so many maps merged, however large they are.
func (d *drawing) merge(a *scheduler.Attempt, maps int) {
	if a.ID.Task.Stage != reduceStage {
		return
	}
	p, err := decode[reducePayload](a.ID, a.Payload)
	if err == nil {
		p.Merge = maps
		a.Payload, err = encode(p)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *drawing) order(a, b string) int {
	if compare := d.opts.Key.Compare(); compare != nil {
		return compare([]byte(a), []byte(b))
	}
	return cmp.Compare(a, b)
}

// compareLines is the order of lines of output: that of their keys.
func (d *drawing) compareLines(a, b string) int { return d.order(d.key(a), d.key(b)) }

func (d *drawing) key(line string) string {
	if i := strings.LastIndexByte(line, '\t'); i >= 0 && !d.keyOnly {
		return line[:i]
	}
	return line
}

// compare compares parts with the model: all bytes where there is one order for them, else all lines, which must be in
// order in each part.
func (d *drawing) compare(parts []string) {
	d.t.Helper()
	var got []string
	for i, part := range parts {
		r, err := d.opts.Compress.NewReader(strings.NewReader(part))
		if err != nil {
			d.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			d.t.Fatal(err)
		}
		lines := slices.Collect(strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n"))
		if len(text) == 0 {
			lines = nil
		}
		if !slices.IsSortedFunc(lines, d.compareLines) {
			d.t.Errorf("part %d is not in order", i)
		}
		got = append(got, lines...)
	}
	if d.opts.Partitioner != TotalOrderPartitioner {
		slices.SortFunc(got, d.compareLines)
	}
	want := slices.SortedFunc(slices.Values(d.model(d.lines)), d.compareLines)
	if diff := gocmp.Diff(want, got); diff != "" {
		d.t.Errorf("%d lines, want %d: %.2000s", len(got), len(want), diff)
	}
}
