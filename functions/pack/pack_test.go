package pack_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/strictyaml"
)

// write makes files below a folder.
func write(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := pack.Parse("function.yaml",
		[]byte("kind: handler\nname: wc\ncommand: ./wc -l\ntimeout: 5s\nmemory: 64MiB\n"+
			"environment: {N: 1.10}\nfiles: wc\nretries: {attempts: 5}\n"))
	want := pack.Defaults()
	want.Kind, want.Name, want.Command = pack.Handler, "wc", []string{"/bin/sh", "-c", "exec ./wc -l"}
	want.Timeout, want.Memory, want.Environment = pack.Time(5*time.Second), 64<<20, map[string]string{"N": "1.10"}
	want.Files, want.Retries.Attempts = []string{"wc"}, 5
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	job, err := pack.Parse("function.yaml", []byte("kind: mapreduce\nname: nightly\n"))
	if err != nil || job.Entry != "job.yaml" {
		t.Errorf("%v: the job of a function is %q", err, job.Entry)
	}
}

func TestMistakes(t *testing.T) {
	const begin = "kind: handler\nname: wc\ncommand: ./wc\n"
	for text, want := range map[string]string{
		"kind: handler\nname: wc\n": `f.yaml: "command" is missing; want a command line, or a list of words`,
		"kind: handle\nname: wc\n":  `f.yaml line 1: kind is "handle"; want handler, mapreduce or guagua`,
		"kind: handler\nname: Wc\ncommand: x\n": `f.yaml line 2: name is "Wc"; want a text of small letters, ` +
			`digits and dashes that begins with a letter, at most 40 long`,
		begin + "timout: 5s\n":                               `f.yaml line 4: unknown key "timout"; did you mean "timeout"?`,
		begin + "timeout: 5\n":                               `f.yaml line 4: timeout is "5"; want a time as in 500ms, 30s or 10m`,
		begin + "timeout: soon\n":                            `f.yaml line 4: timeout: "soon" is not a time; write it as in 90s, 10m or 1h30m`,
		begin + "retries:\n  first: 1x\n":                    `f.yaml line 5: retries.first: "1x" is not a time; write it as in 90s, 10m or 1h30m`,
		begin + "retries:\n  atempts: 2\n":                   `f.yaml line 5: unknown key "atempts" in retries; did you mean "attempts"?`,
		begin + "memory: lots\n":                             `f.yaml line 4: memory: "lots" is not a size; write it as in 256MiB, 1GiB or 1GB`,
		begin + "concurrency: 0\n":                           `f.yaml line 4: concurrency is "0"; want a number from 1 to 1000`,
		begin + "secrets: {A: hunter2}\n":                    `f.yaml line 4: A is "hunter2" in secrets; want env:NAME or file:/PATH`,
		begin + "secrets: {A: env:B}\nenvironment: {A: x}\n": `f.yaml line 4: A is in environment, too`,
		"kind: guagua\nname: wc\ncommand: x\n":               `f.yaml line 3: a function of kind guagua has no command; its job says what runs`,
		"kind: guagua\nname: wc\nentry: ../j\n":              `f.yaml line 3: entry is "../j"; want the name of a file below the folder`,
		"- a\n":                                              `f.yaml is not a function; a function is one mapping that begins with "kind: handler"`,
		"":                                                   `f.yaml is not a function; a function is one mapping that begins with "kind: handler"`,
		"kind: handler\n---\nkind: handler\n":                `f.yaml is not a function; a function is one mapping that begins with "kind: handler"`,
	} {
		_, err := pack.Parse("f.yaml", []byte(text))
		if errs.KindOf(err) != errs.Invalid || errs.Cause(err) != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestSchemaHasWhatTheManifestHas compares the keys of the schema with the fields of the code.
func TestSchemaHasWhatTheManifestHas(t *testing.T) {
	schema := strictyaml.Schema(pack.Schema())
	for path, fields := range map[string]reflect.Type{
		"": reflect.TypeFor[pack.Manifest](), "retries": reflect.TypeFor[pack.Retries](),
	} {
		at := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
		known := map[string]bool{}
		for _, p := range schema.At(at).Properties {
			if known[p.Key] = true; p.Description == "" || p.Want == "" {
				t.Errorf("%s/%s is not explained", path, p.Key)
			}
		}
		for i := range fields.NumField() {
			name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
			if !known[name] {
				t.Errorf("the schema lacks %s/%s", path, name)
			}
			delete(known, name)
		}
		if len(known) > 0 {
			t.Errorf("the code lacks %v in %q", known, path)
		}
	}
	if text := pack.Reference(); !strings.Contains(text, "| `retries.attempts` | | 3 |") {
		t.Errorf("the reference lacks retries:\n%s", text)
	}
	_, example, _ := strings.Cut(pack.Reference(), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	if _, err := pack.Parse("example", []byte(example)); err != nil {
		t.Error(err)
	}
}

func TestWait(t *testing.T) {
	r := pack.Retries{First: pack.Time(time.Second), Most: pack.Time(5 * time.Second)}
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second,
		9: 5 * time.Second} {
		if got := r.Wait(n); got != want {
			t.Errorf("after %d attempts it waits %v, want %v", n, got, want)
		}
	}
}

// TestLifeOfAFunction pushes, rolls back and removes.
func TestLifeOfAFunction(t *testing.T) {
	st, folder := mem.New(), t.TempDir()
	r := pack.Registry{Store: st, Now: func() time.Time { return time.Unix(1e9, 0).UTC() }}
	push := func(alias, text string, wantN int, wantNew bool) {
		t.Helper()
		write(t, folder, map[string]string{
			"function.yaml": "kind: handler\nname: wc\ncommand: sh run.sh\nfiles: [run.sh, lib]\n", "run.sh": text, "lib/a": "a",
			"big": "not in it", ".git/x": "not either",
		})
		v, pushed, err := r.Push(t.Context(), folder, alias, "tester")
		if err != nil || v.N != wantN || pushed != wantNew {
			t.Fatalf("pushed %v as %s: %v, want %d", pushed, v, err, wantN)
		}
	}
	means := func(ref string, want int) {
		t.Helper()
		if v, err := r.Resolve(t.Context(), ref); err != nil || v.N != want {
			t.Errorf("%s means %s, %v; want %d", ref, v, err, want)
		}
	}
	push("live", "one", 1, true)
	push("live", "one", 1, false)
	push("live", "two", 2, true)
	push("canary", "three", 3, true)
	means("wc", 2)
	means("wc@canary", 3)
	means("wc@1", 1)

	into := t.TempDir()
	v, err := r.Resolve(t.Context(), "wc@1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		at, err := pack.Fetch(t.Context(), st, v.Package, into)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(at, "run.sh"))
		if _, absent := os.Stat(filepath.Join(at, "big")); err != nil || string(text) != "one" || absent == nil {
			t.Errorf("the first version's file is %q, %v, and what files leaves out %v", text, err, absent)
		}
	}

	if v, err := r.Rollback(t.Context(), "wc", "live", 0); err != nil || v.N != 1 {
		t.Errorf("rolled back to %s, %v", v, err)
	}
	means("wc", 1)
	if _, err := r.Rollback(t.Context(), "wc", "live", 0); errs.KindOf(err) != errs.Invalid {
		t.Errorf("rolled back beyond the first: %v", err)
	}
	for ref, want := range map[string]string{
		"wcc":     "there is no function \"wcc\". Did you mean wc? `runner fn ls` lists what there is",
		"wc@9":    "wc has no version 9; the latest is 3",
		"wc@prod": "wc has no alias \"prod\"; `runner fn show wc` lists them",
		"../x":    "there is no function \"../x\". `runner fn ls` lists what there is",
	} {
		if _, err := r.Resolve(t.Context(), ref); errs.KindOf(err) != errs.NotFound || errs.Cause(err) != want {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	if err := r.Remove(t.Context(), "wc"); err != nil {
		t.Fatal(err)
	}
	for info := range st.List(t.Context(), "") {
		t.Errorf("%s is left", info.Name)
	}
}

// TestRemovedSideBySide: two who remove functions at the same moment are not in each other's way.
func TestRemovedSideBySide(t *testing.T) {
	objects := mem.New()
	for _, name := range []string{"one", "other"} {
		folder := t.TempDir()
		write(t, folder, map[string]string{"function.yaml": "kind: handler\nname: " + name + "\ncommand: sh run.sh\n"})
		if _, _, err := (pack.Registry{Store: objects}).Push(t.Context(), folder, pack.Live, "tester"); err != nil {
			t.Fatal(err)
		}
	}
	listed := make(chan struct{})
	close(listed)
	st := fault.New(objects, 1, fault.Rule{Op: around.Open, Match: "functions/one/", Nth: 1, Effect: fault.Hold,
		Until: listed, Hit: func() {
			if err := (pack.Registry{Store: objects}).Remove(t.Context(), "one"); err != nil {
				t.Error(err)
			}
		}})
	if err := (pack.Registry{Store: st}).Remove(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	for info := range objects.List(t.Context(), "") {
		t.Errorf("%s is left", info.Name)
	}
}

// TestArchiveIsStable: the same files give the same bytes, whenever they were written.
func TestArchiveIsStable(t *testing.T) {
	var archives []string
	for range 2 {
		folder := t.TempDir()
		write(t, folder, map[string]string{"b": "2", "a/c": "1"})
		if err := os.Chtimes(filepath.Join(folder, "b"), time.Now(), time.Unix(int64(len(archives)), 0)); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := pack.Archive(&b, folder, pack.Manifest{}); err != nil {
			t.Fatal(err)
		}
		archives = append(archives, b.String())
	}
	if archives[0] != archives[1] {
		t.Error("two archives of the same files differ")
	}
	err := pack.Archive(&bytes.Buffer{}, t.TempDir(), pack.Manifest{Files: []string{"wc"}})
	if want := `function.yaml: files has "wc", and there is no such file`; err == nil || errs.Cause(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestFetchRefusesWhatIsNotThePackage(t *testing.T) {
	st, folder := mem.New(), t.TempDir()
	sum := strings.Repeat("0", 64)
	for name, text := range map[string]string{"damaged": "no tar", "empty": ""} {
		w, err := st.Create(t.Context(), store.Name("function-packages/"+sum))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil || w.Commit(t.Context()) != nil {
			t.Fatal(err)
		}
		if _, err := pack.Fetch(t.Context(), st, sum, folder); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	if _, err := pack.Fetch(t.Context(), st, "../x", folder); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a sum that is none: %v", err)
	}
}

func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, filepath.Dir(file), map[string]string{"token": "s3cret\n"})
	m := pack.Manifest{Name: "wc", Secrets: map[string]string{"A": "env:X", "B": "file:" + file}}
	known := func(name string) (string, bool) { return "of " + name, name == "X" }
	got, err := m.ResolveSecrets(known)
	if diff := cmp.Diff(map[string]string{"A": "of X", "B": "s3cret"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	m.Secrets["A"] = "env:Y"
	_, err = m.ResolveSecrets(known)
	if want := "wc wants the secret A, and $Y is not set where its handlers run"; err == nil || errs.Cause(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestInit(t *testing.T) {
	for _, language := range pack.Languages() {
		folder := filepath.Join(t.TempDir(), "greet")
		files, err := pack.Init(folder, language)
		if err != nil || len(files) < 3 {
			t.Errorf("%s: %q, %v", language, files, err)
		}
		if m, err := pack.ReadFolder(folder); err != nil || m.Name != "greet" {
			t.Errorf("%s: %+v, %v", language, m, err)
		}
		if _, err := pack.Init(folder, language); errs.KindOf(err) != errs.Exist {
			t.Errorf("%s: it is made twice: %v", language, err)
		}
	}
	_, err := pack.Init(filepath.Join(t.TempDir(), "greet"), "cobol")
	if want := `there is no template for "cobol"; there is go, python, shell`; err == nil || errs.Cause(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := pack.Init(t.TempDir()+"/Greet", "go"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a name in capitals: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("kind: handler\nname: wc\ncommand: [./wc, -l]\nretries: {first: 1s}\n"))
	f.Add([]byte("kind: handler\nname: &a wc\ncommand: *a\nsecrets: {A: env:B}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := pack.Parse("f.yaml", text)
		if err == nil && (m.Name == "" || m.Timeout <= 0 || m.Concurrency < 1) {
			t.Errorf("accepted %+v", m)
		}
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v", err)
		}
	})
}
