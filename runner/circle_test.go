package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMayBeThere looks for an output, whose fleet's bucket is only removed if there is none for sure.
func TestMayBeThere(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "whole"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "whole", "_SUCCESS"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]bool{
		"file://" + dir + "/whole":  true,
		"file://" + dir + "/absent": false,
		"unknown://host/out":        true, // nobody can say
	} {
		if got := mayBeThere(t.Context(), uri); got != want {
			t.Errorf("%s: %v, want %v", uri, got, want)
		}
	}
}
