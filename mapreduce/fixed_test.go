package mapreduce

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/format"
)

// TestFixedLength reads records of three bytes by several maps, whose cuts fall within records.
func TestFixedLength(t *testing.T) {
	var all, want strings.Builder
	for i := range 100 {
		record := string([]byte{byte('0' + i/10), byte('0' + i%10), '.'})
		all.WriteString(record)
		want.WriteString(record + "\n")
	}
	in := fill(t, map[string]string{"a": all.String()})
	o := programs("cat", "", "")
	o.Format, o.Set, o.SplitSize = format.FixedLength, functions.Params{format.RecordLength: "3"}, 50
	parts := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
	if got := strings.Join(parts, ""); len(parts) < 4 || got != want.String() {
		t.Errorf("%d parts: %q", len(parts), got)
	}
}

// TestFixedLengthMistakes says what is missing, and which file ends within a record.
func TestFixedLengthMistakes(t *testing.T) {
	o := programs("cat", "", "")
	o.Format = format.FixedLength
	if err := o.Validate(); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), format.RecordLength) {
		t.Error("no length:", err)
	}
	in := fill(t, map[string]string{"a": "1234567"})
	o.Set = functions.Params{format.RecordLength: "3"}
	_, err := newCluster(t, BodyOptions{}).run(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "the file ends with 1 bytes") {
		t.Error("a part of a record:", err)
	}
}

// TestFixedLengthInOrder sorts records that are no lines across all parts, by a sample of them.
func TestFixedLengthInOrder(t *testing.T) {
	var all strings.Builder
	var want []string
	for i := range 1000 {
		record := fmt.Sprintf("%03d.", i*617%1000)
		all.WriteString(record)
		want = append(want, record+"\t\n")
	}
	slices.Sort(want)
	in := fill(t, map[string]string{"a": all.String()})
	o := programs("cat", "", "cat")
	o.Format, o.Set, o.SplitSize = format.FixedLength, functions.Params{format.RecordLength: "4"}, 1001
	o.Partitioner, o.Reducers = TotalOrderPartitioner, ExactReducers(3)
	parts := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
	if got := strings.Join(parts, ""); len(parts) != 3 || slices.Contains(parts, "") || got != strings.Join(want, "") {
		t.Errorf("%d parts: %q", len(parts), got)
	}
}
