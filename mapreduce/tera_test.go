package mapreduce

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/tera"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// teraRows returns the first n rows.
func teraRows(t *testing.T, n int) string {
	t.Helper()
	body, err := tera.Store{}.Open(t.Context(), store.Name(fmt.Sprint(n)), store.Range{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sortedRows returns rows in the order of their keys, those of equal keys as they were.
func sortedRows(all string) string {
	rows := slices.Collect(functions.Records([]byte(all), tera.RowBytes))
	slices.SortStableFunc(rows, func(a, b []byte) int { return bytes.Compare(a[:tera.KeyBytes], b[:tera.KeyBytes]) })
	return string(bytes.Join(rows, nil))
}

// validated runs teravalidate over a folder.
func validated(t *testing.T, dir string, splitSize int64) (string, error) {
	t.Helper()
	c := newCluster(t, BodyOptions{})
	o := Options{Mapper: functions.Ref{Builtin: "teravalidate"}, Reducer: functions.Ref{Builtin: "teravalidate"}}
	o.Reducers, o.SplitSize = ExactReducers(1), splitSize
	job := newJob(t, o, t.TempDir()+"/out", dir)
	if _, err := c.run(job); err != nil {
		return "", err
	}
	return strings.Join(c.parts(strings.TrimPrefix(job.Output, "file://")), ""), nil
}

// TestTera makes rows, sorts them, and checks the result, with splits that cut rows and memory that must spill.
func TestTera(t *testing.T) {
	const n = 30_000
	rows := teraRows(t, n)
	want := sortedRows(rows)
	var sum tera.Sum
	for row := range functions.Records([]byte(rows), tera.RowBytes) {
		sum.Add(crc32.ChecksumIEEE(row))
	}
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := newCluster(t, BodyOptions{NoLocal: random.IntN(2) == 0})
		c.memory = pick(random, int64(8<<20), 64<<20)
		files := c.resolve
		c.resolve = func(ctx context.Context, uri string) (store.Store, store.Name, error) {
			if name, ok := strings.CutPrefix(uri, "teragen://rows/"); ok {
				return tera.Store{}, store.Name(name), nil
			}
			return files(ctx, uri)
		}
		c.body.resolve = c.resolve
		generate := Options{Mapper: functions.Ref{Builtin: "teragen"}, Set: functions.Params{"records": fmt.Sprint(n)}}
		generate.SplitSize = pick(random, int64(0), 777_777, 1_000_000)
		in := t.TempDir() + "/in"
		job := newJob(t, generate, in)
		job.Input = []string{fmt.Sprint("teragen://rows/", n)}
		if got := strings.Join(c.mustRun(job), ""); got != rows {
			t.Fatalf("seed %d: %d bytes generated, want %d, or others", seed, len(got), len(rows))
		}
		o := Options{Mapper: functions.Ref{Builtin: "terasort"}, Reducer: functions.Ref{Builtin: "terasort"}}
		o.Partitioner, o.SplitSize = TotalOrderPartitioner, pick(random, int64(0), 123_456)
		if reducers := random.IntN(5); reducers > 0 {
			o.Reducers = ExactReducers(reducers)
		}
		out := t.TempDir() + "/out"
		job = newJob(t, o, out, in)
		job.ID = "bbbb-test"
		if got := strings.Join(c.mustRun(job), ""); got != want {
			t.Fatalf("seed %d: %d bytes sorted, want %d, or in another order", seed, len(got), len(want))
		}
		report, err := validated(t, out, pick(random, int64(0), 54_321))
		if want := fmt.Sprintf("checksum\t%s\nrows\t%d\n", sum, n); err != nil || report != want {
			t.Errorf("seed %d: %q, %v, want %q", seed, report, err, want)
		}
	}
}

// TestTeraValidate notices every way of not being sorted.
func TestTeraValidate(t *testing.T) {
	rows := sortedRows(teraRows(t, 1000))
	swapped := rows[:50_000] + rows[50_100:50_200] + rows[50_000:50_100] + rows[50_200:]
	for name, c := range map[string]struct {
		files map[string]string
		size  int64
		kind  errs.Kind
		want  string // part of the error
	}{
		"within a split": {map[string]string{"part-r-00000": swapped}, 0, errs.Failed, "record at byte 50100"},
		"between splits": {map[string]string{"part-r-00000": swapped}, 10_020, errs.Failed, "not in order"},
		"between parts": {map[string]string{"part-r-00000": rows[60_000:], "part-r-00001": rows[:60_000]},
			60_000, errs.Failed, "not in order"},
		"half a row": {map[string]string{"part-r-00000": rows[:99_950]}, 0, errs.Invalid, "ends with 50 bytes"},
		"nothing to notice": {map[string]string{"part-r-00000": rows[:60_000], "part-r-00001": rows[60_000:]},
			60_000, errs.Other, ""},
	} {
		_, err := validated(t, fill(t, c.files), c.size)
		wrong := errs.KindOf(err) != c.kind || err == nil || !strings.Contains(err.Error(), c.want)
		if c.want == "" && err != nil || c.want != "" && wrong {
			t.Errorf("%s: %v", name, err)
		}
	}
}
