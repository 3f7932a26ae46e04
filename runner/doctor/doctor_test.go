package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

// find returns the finding about what.
func find(t *testing.T, findings []Finding, what string) Finding {
	t.Helper()
	for _, f := range findings {
		if f.What == what {
			return f
		}
	}
	t.Fatalf("nothing is said about %s: %+v", what, findings)
	return Finding{}
}

func TestExamine(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	findings := Examine(home)
	for _, what := range []string{"home", "disk", "fsync", "memory", "cores", "hugepages", "files", "build"} {
		f := find(t, findings, what)
		if f.Says == "" || f.Grade == Bad {
			t.Errorf("%+v", f)
		}
	}
	if left, err := os.ReadDir(home); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if f := find(t, Examine(home), "home"); f.Grade != Note || f.Do != "chmod 700 "+home {
		t.Errorf("a folder that others can read: %+v", f)
	}
}

func TestExamineWithoutHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	findings := Examine(filepath.Join(file, "home"))
	if f := find(t, findings, "home"); f.Grade != Bad || f.Do == "" {
		t.Errorf("%+v", f)
	}
}

func TestRemote(t *testing.T) {
	for kind, want := range map[string]bool{"ext4": false, "nfs": true, "tmpfs": false, "": false} {
		if remote(kind) != want {
			t.Errorf("remote(%q) = %v", kind, !want)
		}
	}
}
