package demo

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "books")
	for round := range 2 {
		books, size, err := Unpack(dir)
		if err != nil || books != 12 {
			t.Fatalf("round %d: %d books, %v; want 12", round, books, err)
		}
		var sum int64
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != books {
			t.Fatalf("round %d: %d files, %v; want %d", round, len(entries), err, books)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if !utf8.Valid(text) || !bytes.HasSuffix(text, []byte("\n")) {
				t.Errorf("%s is not UTF-8 text that ends with a line end", e.Name())
			}
			sum += int64(len(text))
		}
		if sum != size || size < 1<<20 || size > 5e6 {
			t.Errorf("round %d: %d bytes said, %d there; want 1 to 5 MB", round, size, sum)
		}
		// The second round must repair a damaged book and leave nothing else behind.
		if err := os.Truncate(filepath.Join(dir, entries[0].Name()), 10); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSourcesNamed(t *testing.T) {
	sources, err := os.ReadFile("books/SOURCES.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"01-moby-dick.txt", "addresses", "Public Domain", "0.4.0"} {
		if !strings.Contains(string(sources), word) {
			t.Errorf("SOURCES.md does not say %q", word)
		}
	}
}

func TestRows(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "rows.csv")
	var before []byte
	for range 2 {
		n, err := Rows(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil || bytes.Count(text, []byte("\n")) != n {
			t.Errorf("%d lines, %v; want %d", bytes.Count(text, []byte("\n")), err, n)
		}
		if before != nil && !bytes.Equal(before, text) {
			t.Error("the rows are not always the same")
		}
		before = text
	}
}
