// Package integration holds truths about the whole system, driven from outside: that its floors hold, and that a job's
// answer stays the same whichever of its processes is killed.
package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/seed3322913c/runner"

// floor says how high a top folder stands. Imports go down only, and never sideways, so that each floor can be read,
// tested and replaced without knowing what is built on it or beside it.
var floor = map[string]int{
	"infra": 0, "terraform": 0, "hdfsgw": 1, "functions": 1, "scheduler": 1, "mapreduce": 2, "guagua": 2, "runner": 3,
	"integration": 4,
}

// kits are folders that stand higher than the floor they lie on: they lie beside what people test with them, and drive
// the whole engine. Only tests import them.
var kits = map[string]int{"functions/functionstest": 3}

// heightOf is the floor of a folder.
func heightOf(dir string) (height int, known bool) {
	if height, known = kits[dir]; known {
		return height, true
	}
	height, known = floor[strings.SplitN(dir, "/", 2)[0]]
	return height, known
}

// contracts are the packages that everybody meets: they speak no driver's types, so they import nothing but the
// standard library and each other's errors.
var contracts = []string{"infra/errs", "infra/store", "infra/coord"}

// source is one parsed file.
type source struct {
	path string // from the module's root, with slashes
	file *ast.File
}

func (s source) dir() string { return path.Dir(s.path) }
func (s source) test() bool  { return strings.HasSuffix(s.path, "_test.go") }
func (s source) top() string { return strings.SplitN(s.path, "/", 2)[0] }
func (s source) suite() bool { return strings.HasSuffix(s.file.Name.Name, "test") }
func (s source) ours() bool  { return !ast.IsGenerated(s.file) }

func (s source) imports() []string {
	var all []string
	for _, spec := range s.file.Imports {
		name, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
		all = append(all, name)
	}
	return all
}

// sources returns every Go file of the module, nested modules left out.
func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files found: the walk is broken", len(all))
	}
	return all
}

var parsed = sync.OnceValues(func() (all []source, err error) {
	err = filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(name, d)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		all = append(all, source{filepath.ToSlash(strings.TrimPrefix(name, "../")), file})
		return err
	})
	return all, err
})

// enter skips what is no part of the module.
func enter(name string, d fs.DirEntry) error {
	if name == ".." {
		return nil
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	if nested := err == nil; nested || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
		return filepath.SkipDir
	}
	return nil
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		from, known := heightOf(s.dir())
		if !known {
			t.Errorf("%s: %s is not a floor of the design; add it to the table with its height, or move the file", s.path,
				s.top())
			continue
		}
		for _, name := range s.imports() {
			inner, ours := strings.CutPrefix(name, module+"/")
			if !ours {
				continue
			}
			top := strings.SplitN(inner, "/", 2)[0]
			to, known := heightOf(inner)
			_, kit := kits[inner]
			switch {
			case kit && s.test():
			case kit && s.dir() != inner:
				t.Errorf("%s imports %s, which is for tests", s.path, inner)
			case top == s.top():
			case !known:
				t.Errorf("%s imports %s, which is on no floor", s.path, inner)
			case to > from:
				t.Errorf("%s imports %s: imports go down, and %s stands above %s", s.path, inner, top, s.top())
			case to == from:
				t.Errorf("%s imports %s: siblings never import each other; what both need belongs on the floor below", s.path,
					inner)
			}
		}
	}
}

func TestContractsImportOnlyTheStandardLibrary(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || !slices.Contains(contracts, s.dir()) {
			continue
		}
		for _, name := range s.imports() {
			standard := !strings.Contains(strings.SplitN(name, "/", 2)[0], ".")
			if !standard && name != module+"/infra/errs" {
				t.Errorf("%s imports %s: a contract speaks no driver's types, or there will be one driver for ever", s.path, name)
			}
		}
	}
}

func TestPackagesAreExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, s := range sources(t) {
		doc := s.file.Doc.Text()
		want := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			want = "" // a command says what it does in its own words
		}
		explained[s.dir()] = explained[s.dir()] || doc != "" && strings.HasPrefix(doc, want)
	}
	for dir, ok := range explained {
		if !ok {
			t.Errorf(`%s has no package comment; begin one with "Package %s " and teach the reader what it is for`, dir,
				path.Base(dir))
		}
	}
}

func TestShippedFilesDoNotImportTesting(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || s.suite() {
			continue
		}
		for _, name := range s.imports() {
			if name == "testing" || strings.HasPrefix(name, "testing/") || strings.HasSuffix(name, "test") &&
				strings.HasPrefix(name, module) {
				t.Errorf("%s imports %s: it would be linked into the program; suites live in folders that end in test", s.path,
					name)
			}
		}
	}
}

func TestNoHiddenStart(t *testing.T) {
	for _, s := range sources(t) {
		if !s.ours() {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s has an init function: pass things at the place of wiring instead", s.path)
			}
		}
	}
}

func TestNamesSayWhatIsInside(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "base", "structs", "misc"},
			path.Base(s.dir())) {
			t.Errorf("%s: a package called %s holds anything; a thing goes where its noun lives", s.path, path.Base(s.dir()))
		}
	}
}
