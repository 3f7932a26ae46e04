package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples runs every example that has a specification, as its comment says, and compares its output.
func TestExamples(t *testing.T) {
	specs, err := filepath.Glob("../functions/examples/*/*.yaml")
	if err != nil || len(specs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, spec := range specs {
		name := strings.TrimSuffix(filepath.Base(spec), ".yaml")
		t.Run(name, func(t *testing.T) {
			source, dir := filepath.Dir(spec), t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./"+source).CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			run := exec.Command(filepath.Join(os.Getenv(binEnv), "runner"), "run", name+".yaml")
			run.Dir, run.Env = dir, append(os.Environ(), "RUNNER_HOME="+filepath.Join(t.TempDir(), "home"))
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("runner run: %v\n%s", err, out)
			}
			got, err := os.ReadFile(filepath.Join(dir, "out", "part-r-00000"))
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(dir, "want.txt"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
