package mapreduce

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/format"
)

// TestNLine runs a map for every two lines, also of files that do not end with one.
func TestNLine(t *testing.T) {
	in := fill(t, map[string]string{"a": "1\n2\n3\n\n5", "b": "", "c": "6\n7\n"})
	o := programs("cat", "", "")
	o.Format, o.Set = format.NLine, functions.Params{format.LinesPerMap: "2"}
	got := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
	if diff := cmp.Diff([]string{"1\n2\n", "3\n\n", "5\n", "6\n7\n"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestNLineBuiltin lets built-ins have the format's parameter, and nobody else's.
func TestNLineBuiltin(t *testing.T) {
	in := fill(t, map[string]string{"a": strings.Repeat("to be\n", 10)})
	o := builtins("wordcount", "sum", "sum")
	o.Format, o.Set = format.NLine, functions.Params{format.LinesPerMap: "3"}
	job := newJob(t, o, filepath.Join(t.TempDir(), "out"), in)
	c := newCluster(t, BodyOptions{})
	if got := strings.Join(c.mustRun(job), ""); got != "be\t10\nto\t10\n" && got != "to\t10\nbe\t10\n" {
		t.Errorf("%q", got)
	}
	o.Format = format.Text
	job = newJob(t, o, filepath.Join(t.TempDir(), "out"), in)
	if err := Check(t.Context(), job, machine(t)); errs.KindOf(err) != errs.Invalid {
		t.Error("a parameter of nobody:", err)
	}
}

// TestNLineTooMany says so before a plan grows without bound.
func TestNLineTooMany(t *testing.T) {
	in := fill(t, map[string]string{"a": strings.Repeat("\n", maxLineMaps+1)})
	o := programs("cat", "", "")
	o.Format = format.NLine
	_, err := newCluster(t, BodyOptions{}).run(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), format.LinesPerMap) {
		t.Error(err)
	}
}
