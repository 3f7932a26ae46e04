package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
)

const several = `kind: mapreduce
name: join
output: out
mapreduce:
  inputs:
    - {input: users.csv, mapper: {exec: cat users}, format: csv}
    - input: [s3://b/visits, logs/*]
      mapper: {builtin: wordcount}
      set: {n: 1.10, x: true}
  reducer: {exec: cat}
  outputs:
    errors:
    odd: {format: parquet, compress: zstd, set: {parquet.schema: "n int64"}}
`

func TestInputsAndOutputs(t *testing.T) {
	s := parseOne(t, several)
	job, err := s.Job("/home")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"file:///home/users.csv", "s3://b/visits", "file:///home/logs/*"}
	if diff := cmp.Diff(want, job.Input); diff != "" || job.Package != "/home" {
		t.Error(diff, job.Package)
	}
	text := string(job.Engine)
	for _, want := range []string{
		`"inputs":[{"input":["file:///home/users.csv"],"mapper":{"exec":"cat users"},"format":"csv"}`,
		`"set":{"n":"1.10","x":"true"}`, `"outputs":{"errors":{},"odd":{"format":"parquet","compress":"zstd"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if s.MapReduce.Inputs[0].Input[0] != "users.csv" {
		t.Error("the specification was changed")
	}
	s.Input = []string{"more"}
	if _, err := s.Job("/home"); errs.KindOf(err) != errs.Invalid {
		t.Error("an input beside inputs:", err)
	}
}

func TestGeneratorNeedsNoInput(t *testing.T) {
	s := Spec{Output: "o", MapReduce: mapreduce.Options{Mapper: functions.Ref{Builtin: "identity"}}}
	if err := (Flags{FormFlags: FormFlags{Maps: 3}}).Apply(&s); err != nil {
		t.Fatal(err)
	}
	if job, err := s.Job("/"); err != nil || len(job.Input) != 0 {
		t.Error(job.Input, err)
	}
}

func TestFormFlags(t *testing.T) {
	s := parseOne(t, strings.Replace(whole, "Word Count", "wc", 1))
	f := FormFlags{
		Format: "csv", OutputFormat: "parquet", Compress: "zstd", Partitioner: "hash",
		Key: "group=2,numeric,reverse,separator=,", SkipBad: 3,
	}
	if err := (Flags{FormFlags: f}).Apply(&s); err != nil {
		t.Fatal(err)
	}
	want := functions.KeyOrder{Group: 2, Separator: ",", Numeric: true, Reverse: true}
	if m := s.MapReduce; m.Format != "csv" || m.OutputFormat != "parquet" || m.Compress != "zstd" || m.Key != want ||
		m.SkipBad != 3 {
		t.Errorf("%+v", m)
	}
	for _, key := range []string{
		"group", "group=x", "group=-1", "group=1001", "descending", "numeric=1", ",", "separator=",
	} {
		if _, err := ParseKey(key); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", key, err)
		}
	}
}
