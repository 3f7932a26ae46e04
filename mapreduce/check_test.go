package mapreduce

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

func TestCheck(t *testing.T) {
	dir := fill(t, map[string]string{
		"in/a": "x", "in/done/part-r-00000": "", "in/done/_SUCCESS": "", "program": "", "home/x": "",
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, out := dir+"/in", dir+"/out"
	count := builtins("wordcount", "sum", "sum")
	grep := func(set functions.Params) Options {
		o := builtins("grep", "sum", "sum")
		o.Set = set
		return o
	}
	overwrite := func(j *scheduler.Job) { j.Overwrite = true }
	words := newJob(t, Options{Mapper: functions.Ref{Go: "words"}}, out, in)
	pkg := func(name string) func(*scheduler.Job) { return func(j *scheduler.Job) { j.Package = name } }
	for _, c := range []struct {
		name   string
		job    scheduler.Job
		change func(*scheduler.Job)
		kind   errs.Kind
		want   string // part of the sentence
	}{
		{"fine", newJob(t, count, out, in), nil, 0, ""},
		{"no input", newJob(t, count, out), nil, errs.Invalid, "no input"},
		{"missing input", newJob(t, count, out, dir+"/none"), nil, errs.NotFound, "no input file://" + dir + "/none"},
		{"missing glob", newJob(t, count, out, in, dir+"/*.gz"), nil, errs.NotFound, "nothing matches the input"},
		{"bad glob", newJob(t, count, out, in+"/[a"), nil, errs.Invalid, "not well formed"},
		{"existing output", newJob(t, count, dir+"/home", in), nil, errs.Exist, "exists already"},
		{"overwrite of a stranger", newJob(t, count, dir+"/home", in), overwrite, errs.Exist, "has x in it"},
		{"output below a file", newJob(t, count, dir+"/program/out", in), nil, errs.Invalid, "/program is a file"},
		{"no output", words, func(j *scheduler.Job) { j.Output = "" }, errs.Invalid, "no output"},
		{"output of a strange scheme", newJob(t, count, out, in), func(j *scheduler.Job) { j.Output = "ftp://x/y" },
			errs.Unsupported, "ftp://"},
		{"output in input", newJob(t, count, in+"/deep/out", in), nil, errs.Invalid, "lies inside the input"},
		{"output in a glob", newJob(t, count, dir+"/in2/out", dir+"/i*", in), nil, errs.Invalid, "lies inside the input"},
		{"hidden output in input", newJob(t, count, in+"/_out", in), nil, 0, ""},
		{"input in output", newJob(t, count, in+"/done", in+"/done/part-r-00000"), overwrite, errs.Invalid, "lies inside"},
		{"unknown mapper", newJob(t, builtins("wordcuont", "sum", "sum"), out, in), nil, errs.Invalid, "wordcount"},
		{"unknown reducer", newJob(t, builtins("wordcount", "sum", "summ"), out, in), nil, errs.Invalid, `"summ"`},
		{"no mapper", newJob(t, Options{}, out, in), nil, errs.Invalid, "no mapper"},
		{"bad pattern", newJob(t, grep(functions.Params{"pattern": "("}), out, in), nil, errs.Invalid, "no regular"},
		{"missing parameter", newJob(t, grep(nil), out, in), nil, errs.Invalid, "pattern"},
		{"unknown parameter", newJob(t, grep(functions.Params{"pattern": "a", "x": "y"}), out, in), nil, errs.Invalid, `"x"`},
		{"no package", words, nil, errs.Invalid, "no package"},
		{"missing package", words, pkg(dir + "/no"), errs.NotFound, dir + "/no"},
		{"package of text", words, pkg(dir + "/program"), errs.Invalid, "not a program"},
		{"package far away", words, pkg("s3://a/b"), errs.Unsupported, "s3://a/b"},
		{"package without functions", words, pkg("/bin/true"), errs.Invalid, "functions"},
		{"package without that function", newJob(t, Options{Mapper: functions.Ref{Go: "wrods"}}, out, in), pkg(self),
			errs.Invalid, "words"},
		{"package", words, pkg(self), 0, ""},
		{"broken options", words, func(j *scheduler.Job) { j.Engine = json.RawMessage(`[]`) }, errs.Invalid, "options"},
	} {
		if c.change != nil {
			c.change(&c.job)
		}
		err := Check(t.Context(), c.job, machine(t))
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v; want %v %q", c.name, err, c.kind, c.want)
		}
		if err != nil && strings.Contains(errs.Cause(err), "\n") {
			t.Errorf("%s: more than a line: %q", c.name, errs.Cause(err))
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("Check has made something: %v", entries)
	}
}

// forbidden tells the test below that it runs as somebody who may not read the input.
const forbidden = "MAPREDUCE_TEST_FORBIDDEN"

// TestCheckPermission runs again as nobody, since root may read and write everything.
func TestCheckPermission(t *testing.T) {
	if dir := os.Getenv(forbidden); dir != "" {
		checkForbidden(t, dir)
		return
	}
	dir, err := os.MkdirTemp("/tmp", "forbidden") // t.TempDir is of its owner alone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for name, mode := range map[string]os.FileMode{".": 0o755, "in": 0o755, "fine": 0o755, "locked": 0, "mine": 0o555} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/in/secret", nil, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	if os.Getuid() == 0 {
		binary, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/test", binary, 0o755); err != nil { // where nobody can run it
			t.Fatal(err)
		}
		cmd = exec.Command(dir + "/test")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Args = append(cmd.Args, "-test.run=^TestCheckPermission$")
	cmd.Env, cmd.Dir = append(os.Environ(), forbidden+"="+dir), dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "PASS") {
		t.Errorf("%v: %s", err, out)
	}
}

func checkForbidden(t *testing.T, dir string) {
	for _, c := range []struct{ in, out, want string }{
		{"/in", "/tmp/out", "/in/secret"}, {"/locked", "/tmp/out", "/locked"}, {"/in/secret", "/tmp/out", "/in/secret"},
		{"/fine", dir + "/mine/new/out", "/mine"},
	} {
		err := Check(t.Context(), newJob(t, builtins("wordcount", "sum", "sum"), c.out, dir+c.in), machine(t))
		if errs.KindOf(err) != errs.Permission || !strings.Contains(errs.Cause(err), dir+c.want) {
			t.Errorf("input %s, output %s: %v", c.in, c.out, err)
		}
	}
}

// TestCheckBefore: what other jobs will make need not be there, everything else must.
func TestCheckBefore(t *testing.T) {
	dir := fill(t, map[string]string{"in": "x", "home/x": ""})
	count := builtins("wordcount", "sum", "sum")
	made := func(input string) bool { return strings.Contains(input, "/words") }
	for _, c := range []struct {
		out    string
		inputs []string
		kind   errs.Kind
	}{
		{"/out", []string{"/words"}, 0}, {"/out", []string{"/in", "/words/part-*"}, 0},
		{"/out", []string{"/none", "/words"}, errs.NotFound}, {"/home", []string{"/words"}, errs.Exist},
		{"/words/out", []string{"/words"}, errs.Invalid},
	} {
		for i, input := range c.inputs {
			c.inputs[i] = dir + input
		}
		err := CheckBefore(t.Context(), newJob(t, count, dir+c.out, c.inputs...), machine(t), made)
		if (err == nil) != (c.kind == 0) || err != nil && errs.KindOf(err) != c.kind {
			t.Errorf("%v to %s: %v", c.inputs, c.out, err)
		}
	}
}
