package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
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
			if exists(filepath.Join(source, "main.go")) { // else it is no program in Go
				if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name),
					"./"+source).CombinedOutput(); err != nil {
					t.Fatalf("go build: %v\n%s", err, out)
				}
			}
			tr := &trial{t: t, dir: dir, home: filepath.Join(t.TempDir(), "home")}
			if out, err := tr.command("run", name+".yaml").CombinedOutput(); err != nil {
				t.Fatalf("runner run: %v\n%s", err, out)
			}
			same(t, filepath.Join(dir, "want.txt"), filepath.Join(dir, "out", "part-r-00000"))
			if bad := filepath.Join(dir, "want.bad.txt"); exists(bad) {
				same(t, bad, filepath.Join(dir, "out", "bad-m-00000"))
			}
		})
	}
}

// TestNightlyExample trains on pictures, as the example's comment says, and by a schedule.
func TestNightlyExample(t *testing.T) {
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	if err := os.CopyFS(tr.dir, os.DirFS("../guagua/examples/fashion")); err != nil {
		t.Fatal(err)
	}
	if out, err := tr.command("run", "fashion.yaml").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, lines := tr.trained("out")
	before := 3.0 // the loss of ten kinds that are all as likely is below
	for _, line := range lines {
		var iteration int
		var loss float64
		if _, err := fmt.Sscan(line, &iteration, &loss); err != nil {
			t.Fatal(err)
		}
		if loss >= before {
			t.Errorf("iteration %d: the loss rises from %v to %v", iteration, before, loss)
		}
		before = loss
	}
	for _, verb := range [][]string{
		{"schedule", "add", "nightly", "--cron", "0 2 1 1 *", "--", // far off: it is triggered
			"run", "fashion.yaml", "--output",
			"models/{{.FireDate}}"},
		{"schedule", "trigger", "nightly"},
	} {
		if out, err := tr.command(verb...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	tr.serveUI()
	tr.await("the night's model", func() bool {
		models, err := filepath.Glob(filepath.Join(tr.dir, "models", "20*", "_SUCCESS"))
		return err == nil && len(models) == 1 && len(embeddedtest.Processes(tr.home)) == 1 // who serves
	})
}

func same(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("got\n%swant\n%s", b, a)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
