package say

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

func TestExitCode(t *testing.T) {
	for err, want := range map[error]int{
		nil: 0, errs.Failed: 1, errs.Exhausted: 1, errs.Fenced: 1, errs.Internal: 1, errs.Other: 1, errs.Invalid: 2,
		errs.Exist:      2,
		errs.Permission: 2, errs.Unsupported: 2, errs.NotFound: 3, errs.Unavailable: 4, errs.Corrupt: 5, errs.Canceled: 130,
		context.Canceled: 130, errors.New("odd"): 1,
	} {
		if got := ExitCode(err); got != want {
			t.Errorf("ExitCode(%v) = %d, want %d", err, got, want)
		}
		if err != nil {
			if got := ExitCode(fmt.Errorf("while: %w", errs.E("op", errs.Other, "x", err))); got != want {
				t.Errorf("wrapped ExitCode(%v) = %d, want %d", err, got, want)
			}
		}
	}
}

func TestSentence(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	missing := &fs.PathError{Op: "open", Path: "/x/y", Err: fs.ErrNotExist}
	for _, c := range []struct {
		err  error
		want string
	}{
		{Errorf(errs.Invalid, "there is no job %q", "wc"), `there is no job "wc"`},
		{errs.E("run", errs.Failed, nil, Errorf(errs.Invalid, "inner")), "inner"},
		{errs.E("a.B", errs.NotFound, "file:///x/y", missing), "/x/y does not exist"},
		{errs.E("a.B", errs.Other, "outer", errs.E("c.D", errs.Exist, "file://"+wd+"/out", nil)), "out exists already"},
		{errs.E("a.B", errs.Permission, "s3://b/k", nil), "s3://b/k may not be touched: permission denied"},
		{errs.Errorf("a.B", errs.Invalid, "pattern", "missing closing )"), "pattern: missing closing )"},
		{errs.Errorf("a.B", errs.NotFound, nil, "there is no input file://%s/a b, no \"%[1]s/c\", no /x%[1]s/d", wd),
			"there is no input a b, no \"c\", no /x" + wd + "/d"},
		{errs.E("a.B", errs.Unavailable, nil, nil), "unavailable"},
		{errs.E("a.B", errs.Other, nil, Errorf(errs.NotFound, "")), "not found"},
		{errs.Errorf("a.B", errs.Failed, nil, " \n"), "failed"},
		{errors.New(""), "error"},
		{errs.E("a.B", errs.Canceled, "demo", context.Canceled), "demo: interrupted"},
		{errs.E("", errs.Canceled, nil, fmt.Errorf("%w. Try again", errs.E("a.B", errs.Canceled, "demo", context.Canceled))),
			"demo: interrupted. Try again"},
		{fmt.Errorf("reading: %w", missing), "reading: open /x/y: file does not exist"},
		{fmt.Errorf("try 2: %w", errs.Errorf("a.B", errs.Corrupt, "block 7", "checksum differs")),
			"try 2: block 7: checksum differs"},
	} {
		if got := Sentence(c.err); got != c.want {
			t.Errorf("Sentence(%v)\n got %q\nwant %q", c.err, got, c.want)
		}
	}
}

func TestPlain(t *testing.T) {
	run := errs.Errorf("streaming.Run", errs.Failed, "python3 map.py",
		"exited with status 1, after it said:\n    KeyError: 'x'")
	err := errs.E("mapreduce.Map", errs.Other, "a.txt, record at byte 4", fmt.Errorf("in the mapper: %w", run))
	const want = "a.txt, record at byte 4: in the mapper: python3 map.py: exited with status 1, after it said:\n" +
		"    KeyError: 'x'"
	got := Plain(err)
	if got.Error() != want || errs.KindOf(got) != errs.Failed {
		t.Errorf("%v: %q, want %q", errs.KindOf(got), got, want)
	}
	for err, want := range map[error]string{
		errs.E("a.B", errs.Corrupt, nil, nil): "corrupt data", errs.E("a.B", errs.Corrupt, "x", nil): "x: corrupt data",
		errors.New("bare"): "bare",
	} {
		if got := Plain(err); got.Error() != want || errs.KindOf(got) != errs.KindOf(err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if Plain(nil) != nil {
		t.Error("no error became one")
	}
}

func TestUsage(t *testing.T) {
	if err := Usage(errs.E("a.B", errs.NotFound, "/no/such", nil)); ExitCode(err) != ExitUsage ||
		Sentence(err) != "/no/such does not exist" {
		t.Errorf("%v: exit %d, %q", err, ExitCode(err), Sentence(err))
	}
	if err := Usage(errs.E("a.B", errs.Unavailable, "s3://b", nil)); ExitCode(err) != ExitUnreachable {
		t.Errorf("an unreachable store became exit %d", ExitCode(err))
	}
	if Usage(nil) != nil {
		t.Error("Usage(nil) is an error")
	}
}

func TestPath(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"file://" + wd + "/a/b": "a/b", wd: ".", "file://" + filepath.Dir(wd): filepath.Dir(wd), "s3://b/k": "s3://b/k",
		"map-3": "map-3",
	} {
		if got := Path(in); got != want {
			t.Errorf("Path(%q) = %q, want %q", in, got, want)
		}
	}
}
