package mapreduce

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/format"
)

// TestParquetThereAndBack writes rows as Parquet by several maps, and reads them by several, one column left out.
func TestParquetThereAndBack(t *testing.T) {
	dir := t.TempDir()
	var in, want []string
	for i := range 2000 {
		in = append(in, fmt.Sprintf(`{"word":"w%d","n":%d,"half":%v}`, i, i, float64(i)/2))
		want = append(want, fmt.Sprintf(`{"word":"w%d","n":%d}`, i, i))
	}
	c := newCluster(t, BodyOptions{})
	o := programs("cat", "", "")
	o.OutputFormat, o.SplitSize = format.Parquet, 20_000
	o.Set = functions.Params{format.ParquetSchema: "word string, n int64, half double"}
	files := c.mustRun(newJob(t, o, dir+"/a", fill(t, map[string]string{"a": strings.Join(in, "\n")})))
	if len(files) < 3 || !strings.HasPrefix(files[0], "PAR1") {
		t.Fatalf("%d parts", len(files))
	}
	o = programs("cat", "", "")
	o.Format, o.SplitSize, o.Set = format.Parquet, 5000, functions.Params{format.ParquetColumns: "word,n"}
	job := newJob(t, o, dir+"/b", dir+"/a/*.parquet")
	job.ID = "aaaa-next"
	parts := c.mustRun(job)
	got := strings.Split(strings.TrimSuffix(strings.Join(parts, ""), "\n"), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || len(parts) < 3 {
		t.Errorf("%d parts: %.2000s", len(parts), diff)
	}
}

// TestParquetCounts writes what built-in functions put out as a key and a number.
func TestParquetCounts(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, BodyOptions{})
	o := builtins("wordcount", "sum", "sum")
	o.OutputFormat, o.Reducers = format.Parquet, ExactReducers(1)
	c.mustRun(newJob(t, o, dir+"/a", fill(t, map[string]string{"a": "to be or not to be"})))
	o = builtins("identity", "", "")
	o.Format = format.Parquet
	job := newJob(t, o, dir+"/b", dir+"/a")
	job.ID = "aaaa-next"
	want := `{"key":"be","value":2} {"key":"not","value":1} {"key":"or","value":1} {"key":"to","value":2}`
	if got := strings.Join(strings.Fields(strings.Join(c.mustRun(job), "")), " "); got != want {
		t.Error(got)
	}
}

// TestParquetRefuses names the record that is no row of the schema.
func TestParquetRefuses(t *testing.T) {
	o := programs("cat", "", "")
	o.OutputFormat, o.Set = format.Parquet, functions.Params{format.ParquetSchema: "n int64"}
	in := fill(t, map[string]string{"a": "{\"n\":1}\n{\"n\":\"one\"}\n"})
	_, err := newCluster(t, BodyOptions{}).run(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
	if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), `"one" is no int64`) {
		t.Error(err)
	}
	o.Set = functions.Params{format.ParquetSchema: "n number"}
	if err := o.Validate(); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}
