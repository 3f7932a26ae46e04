package fleet

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// remover is a writer before whose first byte somebody removes files.
type remover struct {
	bytes.Buffer
	once   sync.Once
	remove func()
}

func (r *remover) Write(p []byte) (int, error) {
	r.once.Do(r.remove)
	return r.Buffer.Write(p)
}

// TestArchive: what vanishes while a folder is packed is left out, and the rest is whole.
func TestArchive(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"a", "b/c", "b/d", "e/f/g", "h", "i"} {
		path := filepath.Join(folder, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	out := &remover{remove: func() {
		for _, name := range []string{"b/d", "e", "h"} {
			if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
				t.Error(err)
			}
		}
	}}
	if err := archive(out, folder); err != nil {
		t.Fatal(err)
	}
	var names []string
	for in := tar.NewReader(out); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if text, err := io.ReadAll(in); err != nil || string(text) != h.Name {
			t.Errorf("%s: %q, %v", h.Name, text, err)
		}
	}
	if len(names) != 3 || names[0] != "a" || names[1] != "b/c" || names[2] != "i" {
		t.Errorf("%q", names)
	}
	if err := archive(io.Discard, filepath.Join(folder, "e")); err == nil {
		t.Error("a folder that is not there can be packed")
	}
}
