package mapreduce

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// manyMaps is a word count with so many small maps and reducers that nodes merge what maps leave.
func manyMaps(t *testing.T, combiner string) (job scheduler.Job, want map[string]int) {
	t.Helper()
	content := strings.Repeat("to be or not to be that is the question whether it is nobler\n", 200)
	o := builtins("wordcount", combiner, "sum")
	o.SplitSize, o.Reducers = 250, ExactReducers(24)
	return newJob(t, o, t.TempDir()+"/out", fill(t, map[string]string{"a": content})), wordCounts(content)
}

// TestMergedSegments: with and without a disk in common the result and the proof are those of maps that are read one by
// one, and each map of each reducer was read merged.
func TestMergedSegments(t *testing.T) {
	for _, combiner := range []string{"sum", ""} {
		for _, noLocal := range []bool{false, true} {
			job, want := manyMaps(t, combiner)
			c := newCluster(t, BodyOptions{NoLocal: noLocal})
			if d := gocmp.Diff(want, merged(t, c.mustRun(job))); d != "" {
				t.Error(d)
			}
			all := c.counters.Get(taskCounters, "SHUFFLED_MAPS")
			if got := c.counters.Get(taskCounters, "MERGED_MAP_OUTPUTS"); all < 1000 || got != all {
				t.Errorf("combiner %q: %d of %d segments were merged", combiner, got, all)
			}
		}
	}
}

// TestMergedLost spoils a map's output, or what was merged of it, before the first reducer merges and after that:
// exactly that map runs again, or none if its own output is good.
func TestMergedLost(t *testing.T) {
	flip := func(name string) error {
		b, err := os.ReadFile(name)
		if err == nil {
			for i := range b {
				b[i] ^= 1
			}
			err = os.WriteFile(name, b, 0o666)
		}
		return err
	}
	mergedWith := func(dir string, spoil func(data string) error) error {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "merged-*", segment.DataName))
		for _, name := range names {
			err = errors.Join(err, spoil(name))
		}
		return err
	}
	data := func(dir string) string { return filepath.Join(dir, segment.DataName) }
	for name, c := range map[string]struct {
		spoil  func(dir string) error
		before bool // the first reducer
		lost   bool
	}{
		"its bytes, before":  {func(d string) error { return flip(data(d)) }, true, true},
		"everything, before": {os.RemoveAll, true, true},
		"everything, merged": {os.RemoveAll, false, false},
		"all that is merged": {func(d string) error { return mergedWith(d, flip) }, false, false},
		"both": {func(d string) error {
			return errors.Join(mergedWith(d, flip), os.RemoveAll(d))
		}, false, true},
	} {
		for combiner, noLocal := range map[string]bool{"sum": false, "": true} {
			job, want := manyMaps(t, combiner)
			cl := newCluster(t, BodyOptions{NoLocal: noLocal})
			var dir string
			cl.after = func(a scheduler.Attempt, result []byte) []byte {
				if a.ID.String() == "map-2.0" {
					dir = a.Dir
				}
				last := a.ID.String() == "map-40.0"
				if !c.before {
					last = a.ID.String() == "reduce-0.0"
				}
				if last {
					if err := c.spoil(dir); err != nil {
						t.Fatal(err)
					}
				}
				return result
			}
			if d := gocmp.Diff(want, merged(t, cl.mustRun(job))); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			var again []string
			for _, l := range cl.lost {
				again = append(again, l.Attempt.String())
			}
			if c.lost != slices.Equal(again, []string{"map-2.0"}) || !c.lost && len(again) > 0 {
				t.Errorf("%s, network %v, combiner %q: lost %q", name, noLocal, combiner, again)
			}
		}
	}
}

// TestMergedMaps: nodes merge where that saves more than it costs, and as much as makes one request worth it.
func TestMergedMaps(t *testing.T) {
	for _, c := range []struct {
		maps, nodes, reducers, partitions int
		stored                            int64
		want                              int
	}{
		{763, 1, 50, 50, 200 << 20, 47},
		{763, 10, 50, 50, 200 << 20, 470},
		{10, 1, 100, 100, 1 << 20, 0},                // few
		{1000, 1, 1000, 1000, 70 << 30, 0},           // large
		{1000, 1, 50, 50, 1000 * 50, 500},            // so small that other limits hold
		{1000, 1, 10_000, 10_000, 1000 * 100_000, 6}, // parts
		{2000, 1, 4000, 4000, 2000 * 60 << 20, 2},    // bytes
		{2000, 1, 100_000, 100_000, 2000 * 60 << 20, 0},
		{1000, 1, 1, 4, 1000, 0},
		{2000, 1, 1, 4, 0, 500},
	} {
		outputs := make([]scheduler.Output, c.maps)
		for i := range outputs {
			outputs[i].Node = string(rune('a' + i%c.nodes))
		}
		if got := mergedMaps(outputs, c.reducers, c.partitions, c.stored); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
