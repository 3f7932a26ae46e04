package aws

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// TestModules runs the tests that lie beside the modules, which ask no cloud; where the race detector looks on, which
// has nothing to see there, the modules are only checked.
func TestModules(t *testing.T) {
	terraform := fleettest.Terraform(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(modules)); err != nil {
		t.Fatal(err)
	}
	last := []string{"test", "-no-color"}
	if testing.Short() {
		last = []string{"validate", "-no-color"}
	}
	for _, args := range [][]string{{"init", "-no-color", "-input=false"}, last} {
		cmd := exec.CommandContext(t.Context(), terraform, args...)
		cmd.Dir = filepath.Join(dir, "roots", "aws")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %v: %v\n%s", args, err, out)
		}
	}
}
