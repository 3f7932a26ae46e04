package split

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// machine resolves file:// to the file system, and mem:// to objects.
func machine(t testing.TB, objects store.Store) store.Resolve {
	t.Helper()
	local, err := file.New("/", file.Options{KeepDirs: true})
	if err != nil {
		t.Fatal(err)
	}
	return func(_ context.Context, uri string) (store.Store, store.Name, error) {
		if p, ok := strings.CutPrefix(uri, "mem://bucket/"); ok {
			return objects, store.Name(p), nil
		}
		return local, store.Name(strings.TrimPrefix(uri, "file:///")), nil
	}
}

// fill makes files, each with its name as content.
func fill(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(n), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

var sample = []string{
	"a.txt", "a/1.log", "a/2.log", "a/deep/er/3.log", "a/_tmp/4.log", "a/.git/5", "a/.6", "a-b/7.log",
	"b/x[1].log", "b/x1.log", "b/{q}", "_hidden/8", ".dot", "héllo/ü.txt",
}

// TestList looks for the same names among files and among objects.
func TestList(t *testing.T) {
	dir, objects := t.TempDir(), mem.New()
	fill(t, dir, sample...)
	for _, n := range sample {
		if err := store.Put(t.Context(), objects, store.Name("in/"+n), []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	resolve := machine(t, objects)
	for _, c := range []struct {
		input string
		want  string // names, or a kind of error after "!"
	}{
		{"a.txt", "a.txt"},
		{"/a.txt/", "a.txt"},
		{"a", "a/1.log a/2.log a/deep/er/3.log"},
		{"", "a-b/7.log a.txt a/1.log a/2.log a/deep/er/3.log b/x1.log b/x[1].log b/{q} héllo/ü.txt"},
		{"_hidden", "_hidden/8"},
		{".dot", ".dot"},
		{"a/_tmp/4.log", "a/_tmp/4.log"},
		{"a/*", "a/1.log a/2.log a/deep/er/3.log"},
		{"*", "a-b/7.log a.txt a/1.log a/2.log a/deep/er/3.log b/x1.log b/x[1].log b/{q} héllo/ü.txt"},
		{"_*", "_hidden/8"},
		{"a/.*", "a/.6 a/.git/5"},
		{"*/*.log", "a-b/7.log a/1.log a/2.log b/x1.log b/x[1].log"},
		{"a/?.log", "a/1.log a/2.log"},
		{"a/[2-9].log", "a/2.log"},
		{"a/[!2-9].log", "a/1.log"},
		{"a/[^1].log", "a/2.log"},
		{"{a,a-b}/*.log", "a-b/7.log a/1.log a/2.log"},
		{"{a/{1,2},b/x1}.log", "a/1.log a/2.log b/x1.log"},
		{"{a,a}/1.log", "a/1.log"},
		{"b/x[1].log", "b/x[1].log"}, // literally, since it exists
		{"b/x[12].log", "b/x1.log"},
		{`b/x\[1].log`, "b/x[1].log"},
		{"b/{q}", "b/{q}"},
		{"h?llo", "héllo/ü.txt"},
		{"a//deep/./er", "a/deep/er/3.log"},
		{"none", "!not found"},
		{"a.txt/below", "!not found"},
		{"*/none", "!not found"},
		{"{x,y}", "!not found"},
		{"a/[", "!invalid"},
		{"a/{b", "!invalid"},
		{strings.Repeat("{a,b}", 11), "!invalid"},
	} {
		for _, base := range []string{"file://" + dir, "mem://bucket/in"} {
			files, err := List(t.Context(), resolve, []string{base + "/" + c.input})
			var got []string
			for _, f := range files {
				name := strings.TrimPrefix(f.URI, base+"/")
				if f.Size != int64(len(name)) || f.Version == "" {
					t.Errorf("%s: %+v", c.input, f)
				}
				got = append(got, name)
			}
			if err != nil {
				got = []string{"!" + errs.KindOf(err).String()}
			}
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Errorf("%s/%s: %v %s", base, c.input, err, d)
			}
		}
	}
}

func TestListInputsFollowEachOther(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a", "b")
	uri := "file://" + dir
	files, err := List(t.Context(), machine(t, nil), []string{uri + "/b", uri, uri + "/a"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, filepath.Base(f.URI))
	}
	if d := cmp.Diff([]string{"b", "a", "b", "a"}, got); d != "" {
		t.Error(d)
	}
}

func TestListEmptyFolder(t *testing.T) {
	files, err := List(t.Context(), machine(t, nil), []string{"file://" + t.TempDir()})
	if err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}

// TestListLinks: links are followed, but nothing is read twice, and there is no end to a loop.
func TestListLinks(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "in/1", "in/sub/2", "in/_x/3", "out/4", "out/sub/5")
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	link("../out", "in/away")      // folder elsewhere: its files are read
	link("../out/4", "in/file")    // file elsewhere
	link("1", "in/same")           // read in its own place
	link("sub", "in/samefolder")   // so are these
	link("..", "in/sub/up")        // a loop
	link("_x/3", "in/unhidden")    // hidden in its own place, so it is read here
	link("../in", "out/back")      // a loop by way of another folder
	link("in", "entry")            // a link named by the input
	link("../nothing", "out/.bad") // hidden, so nobody cares
	list := func(input string) (string, error) {
		files, err := List(t.Context(), machine(t, nil), []string{"file://" + dir + "/" + input})
		var got []string
		for _, f := range files {
			got = append(got, strings.TrimPrefix(f.URI, "file://"+dir+"/"+input+"/"))
		}
		return strings.Join(got, " "), err
	}
	for _, input := range []string{"in", "entry"} {
		got, err := list(input)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff("1 away/4 away/sub/5 file sub/2 unhidden", got); d != "" {
			t.Errorf("%s: %s", input, d)
		}
	}
	link("../nothing", "out/bad")
	if _, err := list("in"); errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("a link to nothing: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "out/bad")); err != nil {
		t.Fatal(err)
	}
	link("../..", "out/bad")
	if _, err := list("in"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a link to a folder above: %v", err)
	}
}

func TestListNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := List(t.Context(), machine(t, nil), []string{"file://" + fifo}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a pipe: %v", err)
	}
	if files, err := List(t.Context(), machine(t, nil), []string{"file://" + dir}); err != nil || len(files) != 0 {
		t.Errorf("a folder with a pipe: %v, %v", files, err)
	}
	if _, err := List(t.Context(), machine(t, nil), []string{"words"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no URI: %v", err)
	}
}

// TestSource reads pieces of files while they change.
func TestSource(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "text")
	uri := "file://" + name
	content := strings.Repeat("0123456789abcde\n", 20_000) // 320 KB: several ranges
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(content)
	resolve := machine(t, nil)
	files, err := List(t.Context(), resolve, []string{uri})
	if err != nil {
		t.Fatal(err)
	}
	s := Cut(files, Options{Size: 1000})[1]
	src := NewSource(resolve, s)
	read := func(from int64) (string, error) {
		r, err := src.Open(t.Context(), src.Pieces()[0], from)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	for _, from := range []int64{0, s[0].Offset - 1, s[0].Offset + 5, int64(len(content))} {
		got, err := read(from)
		if err != nil || got != content[from:] {
			t.Errorf("from %d: %d bytes, %v; want %d", from, len(got), err, len(content)-int(from))
		}
	}
	if err := src.Verify(t.Context()); err != nil {
		t.Error(err)
	}

	r, err := src.Open(t.Context(), text.Piece{Name: uri, Length: 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(){
		"shorter": func() { write(content[:100]) },
		"longer":  func() { write(content + "more\n") },
		"other":   func() { write(strings.ToUpper(content)) },
		"gone":    func() { os.Remove(name) },
	} {
		change()
		if err := src.Verify(t.Context()); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), uri) {
			t.Errorf("%s, verified: %v", what, err)
		}
		if _, err := read(0); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), uri) {
			t.Errorf("%s, opened: %v", what, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		input, name string
		want        bool
	}{
		{"/a", "/a/out/part", true}, {"/a", "/a", true}, {"/a/", "/a/b", true}, {"/", "/a", true},
		{"/a", "/b/part", false}, {"/a", "/ab/part", false}, {"/a/b", "/a/part", false},
		{"/a", "/a/_out/part", false}, {"/a", "/a/.out/part", false}, {"/a/_out", "/a/_out/part", true},
		{"/a/*", "/a/out/part", true}, {"/a/*.txt", "/a/out/part", false}, {"/*/out", "/a/out/part", true},
		{"/{a,b}", "/b/part", true}, {"/a[1]", "/a[1]/part", true}, {"/a[1", "/a[2/part", false},
	} {
		if got := Selects("file://"+c.input, "file://"+c.name); got != c.want {
			t.Errorf("Selects(%q, %q) = %v", c.input, c.name, got)
		}
	}
	if Selects("s3://a/b", "s3://other/b/c") || Selects("a", "a") {
		t.Error("other places are not told apart")
	}
}

// FuzzSelects looks for patterns that compile to what cannot be matched, and for names that are not selected by
// themselves.
func FuzzSelects(f *testing.F) {
	f.Add("/a/{b,c{d,e}}/[!x-z]*", "/a/b/c")
	f.Add("", "/")
	f.Add("/*", "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		Selects("file://"+pattern, "file://"+name)
		if uri := "s3://b/" + name; !Selects(uri, uri) {
			t.Errorf("%q does not select itself", name)
		}
	})
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name, folder string
		want         bool
	}{
		{"/a/b", "/a", true}, {"/a", "/a", true}, {"/a", "/a/", true}, {"/a", "/", true},
		{"/ab", "/a", false}, {"/a", "/a/b", false},
	} {
		if got := Within(c.name, c.folder); got != c.want {
			t.Errorf("Within(%q, %q) = %v", c.name, c.folder, got)
		}
	}
}

// BenchmarkList lists folders with 80,000 files in all.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	for i := range 80_000 {
		fill(b, dir, filepath.Join(string(rune('a'+i%20)), string(rune('a'+i/20%20)), strings.Repeat("x", 1+i/400)))
	}
	resolve := machine(b, nil)
	for b.Loop() {
		files, err := List(b.Context(), resolve, []string{"file://" + dir})
		if err != nil || len(files) != 80_000 {
			b.Fatal(len(files), err)
		}
	}
}
