package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

func TestFiles(t *testing.T) {
	const head = "kind: mapreduce\ninput: a\noutput: b\nmapreduce: {mapper: {exec: cat}}\n"
	s := parseOne(t, head+"files: [x/stop.txt, \"s3://b/m.bin#model\"]\narchives: /d.tgz#dict\n")
	job, err := s.Job("/home")
	if err != nil {
		t.Fatal(err)
	}
	want := []scheduler.File{
		{Name: "stop.txt", URI: "file:///home/x/stop.txt"}, {Name: "model", URI: "s3://b/m.bin"},
		{Name: "dict", URI: "file:///d.tgz", Archive: true},
	}
	if diff := cmp.Diff(want, job.Files); diff != "" {
		t.Error(diff)
	}
	if job.Package != "" {
		t.Errorf("package %q, where the files are named", job.Package)
	}
	s.Files = []string{"#name"}
	if _, err := s.Job("/home"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a name without a file: %v", err)
	}
	_, err = Parse("job.yaml", []byte(head+"files: [3]\n"))
	if err == nil || !strings.Contains(err.Error(), "want a path") {
		t.Errorf("a number: %v", err)
	}
}
