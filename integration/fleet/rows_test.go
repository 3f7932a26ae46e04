package fleet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/store"
)

// rows is the trial's second job, which suffers the same as the word count beside it: it sorts rows by their first ten
// bytes across all parts, as TeraSort does, and here the order of what comes out matters, too.
type rows struct {
	*trial
	want []string // the rows, sorted
}

// newRows puts rows in the bucket, sorts them itself, and writes a specification like that of the word count.
func (tr *trial) newRows() rows {
	r := rows{trial: tr}
	odd := tr.chance.Uint64() | 1 // so that no key comes twice
	for i := range uint64(20_000) {
		r.want = append(r.want, fmt.Sprintf("%010x\trow %d of the trial, which is as long as those of others\n",
			i*odd%(1<<40), i))
	}
	tr.put("rows/in", strings.ReplaceAll(strings.Join(r.want, ""), "\t", ""))
	slices.Sort(r.want)
	spec := fmt.Sprintf(`kind: mapreduce
name: rows
input: %[1]s
output: %[2]s
package: %[3]s
mapreduce:
  mapper: {go: rows}
  reducer: {builtin: identity}
  partitioner: total-order
  reducers: %[4]d
  splitSize: 64KiB
  set: {pace: 150ms}
resources: {executors: 3, memory: 1GiB}
retry: {job: 5}
`, tr.uri("rows"), tr.uri("sorted"), filepath.Join(site.bin, "paced"), reducers)
	tr.must(os.WriteFile(filepath.Join(tr.dir, "rows.yaml"), []byte(spec), 0o600))
	return r
}

// check compares the output, part by part, with what the test has sorted.
func (r rows) check() {
	r.t.Helper()
	var got []string
	for i := range reducers {
		name := store.Name(fmt.Sprintf("%s/sorted/part-r-%05d", r.folder, i))
		text, err := store.Get(r.t.Context(), r.bucket, name, 64<<20)
		r.must(err)
		got = append(got, slices.Collect(strings.Lines(string(text)))...)
	}
	if !slices.Equal(got, r.want) {
		r.t.Errorf("%d rows that differ from the oracle's %d", len(got), len(r.want))
	}
	r.run("verify", r.uri("sorted"))
}
