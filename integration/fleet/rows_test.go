package fleet_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/tera"
	"github.com/seed3322913c/runner/infra/store"
)

// rows is the trial's second job, which suffers the same as the word count beside it: TeraSort of what TeraGen makes,
// rows of 100 bytes that are no text. Here the order of what comes out matters, too, across all parts.
type rows struct {
	*trial
	want []byte // the rows, sorted
}

// newRows puts rows in the bucket, sorts them itself, and writes a specification like that of the word count.
func (tr *trial) newRows() rows {
	var in bytes.Buffer
	var row [tera.RowBytes]byte
	generator := tera.NewGenerator(0)
	for range 20_000 {
		generator.Next(&row)
		in.Write(row[:])
	}
	tr.put("rows/in", in.String())
	sorted := slices.Collect(functions.Records(in.Bytes(), tera.RowBytes))
	slices.SortFunc(sorted, bytes.Compare) // of two keys none is the same
	spec := fmt.Sprintf(`kind: mapreduce
name: rows
input: %[1]s
output: %[2]s
package: %[3]s
mapreduce:
  mapper: {go: rows}
  format: fixed-length
  reducer: {builtin: terasort}
  partitioner: total-order
  reducers: %[4]d
  splitSize: 64KiB
  set: {pace: 150ms, fixedlengthinputformat.record.length: "%[5]d"}
resources: {executors: 3, memory: 1GiB}
retry: {job: 5}
`, tr.uri("rows"), tr.uri("sorted"), filepath.Join(site.bin, "paced"), reducers, tera.RowBytes)
	tr.write("rows.yaml", spec)
	return rows{tr, bytes.Join(sorted, nil)}
}

// check compares the parts, one after the other, with what the test has sorted, and has the program prove the job.
func (r rows) check() {
	r.t.Helper()
	var got strings.Builder
	for i := range reducers {
		name := store.Name(fmt.Sprintf("%s/sorted/part-r-%05d", r.folder, i))
		part, err := store.Get(r.t.Context(), r.bucket, name, 64<<20)
		r.must(err)
		got.Write(part)
	}
	if got.String() != string(r.want) {
		r.t.Errorf("%d bytes that differ from the oracle's %d", got.Len(), len(r.want))
	}
	r.run("verify", r.uri("sorted"))
}
