package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

func testAbsent(t *testing.T, st store.Store) {
	put(t, st, "dir/there", "x")
	for _, name := range []store.Name{"absent", "dir", "dir/absent", "no/such/dir/absent", "dir/there/below", "dir/ther"} {
		wantAbsent(t, st, name)
		wantKind(t, openErr(t.Context(), st, name, store.Range{Offset: 3, Length: 4}), errs.NotFound)
		if err := st.Delete(t.Context(), name); err != nil {
			t.Errorf("delete of the absent %q: %v", name, err)
		}
	}
	wantNames(t, st, "", "dir/there")
}

func testDelete(t *testing.T, st store.Store) {
	for _, name := range []store.Name{"a", "d/one", "d/e/f/two"} {
		put(t, st, name, "x")
		if err := st.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		wantAbsent(t, st, name)
	}
	wantNames(t, st, "")
}

func testListOrder(t *testing.T, st store.Store) {
	want := []string{ // byte order of whole names: "." and "-" come before "/", "0" after it
		"B", "a-/x", "a-b", "a.b", "a/b", "a/b.c", "a/c/d", "a/c/e", "a/d", "a0", "aa", "b/a/a/a", "b/b", "z", "~",
		"\u00e9", "\u65e5\u672c",
	}
	if !slices.IsSorted(want) {
		t.Fatal("the test's own list is not in order")
	}
	for i := range want {
		put(t, st, store.Name(want[i*7%len(want)]), strings.Repeat("x", i+1)) // 7 and their number have no common factor
	}
	wantNames(t, st, "", want...)
	for info, err := range st.List(t.Context(), "") {
		stat, err2 := st.Stat(t.Context(), info.Name)
		if err != nil || err2 != nil || info.Size != stat.Size || info.Version != stat.Version {
			t.Errorf("listed %+v, %v; stat %+v, %v", info, err, stat, err2)
		}
	}
}

func testListPrefix(t *testing.T, st store.Store) {
	for _, name := range []store.Name{"a/b", "a/bc", "a/b.d", "a/be/f", "ab", "a.b", "c/d/e"} {
		put(t, st, name, "x")
	}
	for prefix, want := range map[string][]string{
		"":       {"a.b", "a/b", "a/b.d", "a/bc", "a/be/f", "ab", "c/d/e"},
		"a":      {"a.b", "a/b", "a/b.d", "a/bc", "a/be/f", "ab"},
		"a/":     {"a/b", "a/b.d", "a/bc", "a/be/f"},
		"a/b":    {"a/b", "a/b.d", "a/bc", "a/be/f"},
		"a/b.":   {"a/b.d"},
		"a/be":   {"a/be/f"},
		"a/be/":  {"a/be/f"},
		"a/b/":   nil,
		"c/d/e":  {"c/d/e"},
		"c/d/e/": nil,
		"x":      nil,
		"x/y/z":  nil,
		// What no name begins with lists nothing, wherever it would lead a driver that takes names for paths.
		"/": nil, "//": nil, "a//": nil, "a/./": nil, "../": nil, "a/../": nil, "c/d/../": nil, "\x00": nil, "a/\x00": nil,
	} {
		wantNames(t, st, prefix, want...)
	}
}

func testListStops(t *testing.T, st store.Store) {
	for i := range 20 {
		put(t, st, store.Name(fmt.Sprintf("d/%02d", i)), "x")
	}
	n := 0
	for _, err := range st.List(t.Context(), "d/") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("a loop that stopped at 3 saw %d", n)
	}
}

// Who deletes what a listing shows, while it runs, sees each object once and leaves nothing.
func testListWhileDeleting(t *testing.T, st store.Store) {
	var want []string
	for i := range 30 {
		name := fmt.Sprintf("d/%d/%02d", i/10, i)
		want = append(want, name)
		put(t, st, store.Name(name), "x")
	}
	var got []string
	for info, err := range st.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(info.Name))
		if err := st.Delete(t.Context(), info.Name); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	wantNames(t, st, "")
}

var oddNames = []store.Name{
	" ", " a", "a b", "a+b", "a%2Fb", "%", "%41", "a?b=c&d", "a#b", "a;b", "a:b", "a@b=c,d", `a\b`, `a"b'c`, "a*b[c]",
	"<a>{b}|^`", "a\tb", "a\rb", "a\nb", "a\x7fb", "...", "..a", "a..", ".a", "-a", "_a",
	"dir .x/ /%20", "\u00e9t\u00e9", "e\u0301", "\u65e5\u672c\u8a9e/\u8a9e",
	"\U0001f600", "\u202eabc", store.Name(strings.Repeat("n", 200)), store.Name(strings.Repeat("long/", 180) + "end"),
}

func testOddNames(t *testing.T, st store.Store) {
	var want []string
	for _, name := range oddNames {
		put(t, st, name, "content of "+string(name))
		want = append(want, string(name))
	}
	slices.Sort(want)
	wantNames(t, st, "", want...)
	for _, name := range oddNames {
		if got := get(t, st, name); got != "content of "+string(name) {
			t.Errorf("%q holds %q", name, got)
		}
		if err := st.Delete(t.Context(), name); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	wantNames(t, st, "")
}

func testBadNames(t *testing.T, st store.Store) {
	for _, name := range []store.Name{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "../a", "a/../b", "a\x00b", "a\xffb",
		store.Name(strings.Repeat("x", 1025)),
	} {
		ctx := t.Context()
		_, err := st.Create(ctx, name)
		wantKind(t, err, errs.Invalid)
		wantKind(t, openErr(ctx, st, name, store.Range{}), errs.Invalid)
		_, err = st.Stat(ctx, name)
		wantKind(t, err, errs.Invalid)
		wantKind(t, st.Delete(ctx, name), errs.Invalid)
	}
}

// A driver may be unable to keep "a/b" beside "a". Then it says Invalid, never Exist, and the first stays as it was.
func testNameBelowObject(t *testing.T, st store.Store) {
	for _, c := range []struct{ first, second store.Name }{{"a", "a/b"}, {"c", "c/d/e"}, {"f/g", "f"}, {"h/i/j", "h"}} {
		for _, opts := range [][]store.CreateOption{nil, {store.IfAbsent()}} {
			put(t, st, c.first, "first")
			if err := store.Put(t.Context(), st, c.second, []byte("second"), opts...); err != nil {
				wantKind(t, err, errs.Invalid)
				wantAbsent(t, st, c.second)
			} else if got := get(t, st, c.second); got != "second" {
				t.Errorf("%q holds %q", c.second, got)
			}
			if got := get(t, st, c.first); got != "first" {
				t.Errorf("%q holds %q after %q", c.first, got, c.second)
			}
			for _, name := range []store.Name{c.first, c.second} {
				if err := st.Delete(t.Context(), name); err != nil {
					t.Errorf("delete %q: %v", name, err)
				}
			}
		}
	}
	wantNames(t, st, "")
}

// A name that had objects below it is free again when they are gone.
func testReuseOfFolders(t *testing.T, st store.Store) {
	put(t, st, "a/b/c", "x")
	if err := st.Delete(t.Context(), "a/b/c"); err != nil {
		t.Fatal(err)
	}
	w := create(t, st, "d/e")
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []store.Name{"a", "d"} {
		put(t, st, name, "now an object", store.IfAbsent())
	}
	wantNames(t, st, "", "a", "d")
}
