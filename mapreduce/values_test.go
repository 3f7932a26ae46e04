package mapreduce

import (
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// adder is a combiner that adds int64 values up by itself, without being an Int64Folder.
type adder struct{ plain bool }

func (a *adder) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	numbers, ok := values.(functions.Int64Values)
	a.plain = a.plain || !ok
	var sum int64
	for ok && values.Next() {
		sum += numbers.Int64()
	}
	return functions.EmitInt64(out, key, sum)
}

// TestCombinerSeesKindOfValues: a combiner that does not fold gets numbers where the mapper puts out numbers.
func TestCombinerSeesKindOfValues(t *testing.T) {
	for kind, want := range map[functions.ValueKind]string{functions.ValueInt64: "\x14", functions.ValueText: "10"} {
		budget := arena.New(arena.Options{}).Budget(16 << 20)
		defer budget.Close()
		dir, c := t.TempDir(), &adder{}
		attempt := scheduler.Attempt{Dir: dir, Scratch: t.TempDir()}
		out, err := (&task{Attempt: attempt}).collector(c, kind, collecting{shuffling{Partitions: 1}, budget}, &placed{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range int64(5) {
			if err := functions.EmitInt64(out, []byte("k"), n); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := out.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := segment.Open(dir, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		block, err := r.Reader(0, 1).Next()
		if err != nil {
			t.Fatal(err)
		}
		record, _, err := segment.Sorted.Next(block)
		if err != nil || string(record.Value) != want || c.plain {
			t.Errorf("%v: %q, %v, want %q; plain bytes %v", kind, record.Value, err, want, c.plain)
		}
	}
}
