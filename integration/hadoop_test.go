package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// TestHadoopValidates has Hadoop's TeraGen make the rows that ours makes, and its TeraValidate accept what ours sorted,
// with the checksum that ours computes.
func TestHadoopValidates(t *testing.T) {
	rows := "50000"
	if testing.Short() {
		rows = "1000"
	}
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	at := func(name string) string { return filepath.Join(tr.dir, name) }
	run := func(args ...string) {
		t.Helper()
		if out, err := tr.command(args...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	run("run", "teragen", "--set", "records="+rows, "--output", at("in"))
	run("run", "terasort", "--input", at("in"), "--output", at("sorted"), "--reducers", "3")
	run("run", "teravalidate", "--input", at("sorted"), "--output", at("checked"))
	hadoop(t, "TeraGen", rows, at("theirs"))
	if ours := parts(t, at("in")); len(ours) == 0 || !bytes.Equal(ours, parts(t, at("theirs"))) {
		t.Errorf("TeraGen makes other rows, %d bytes here", len(ours))
	}
	hadoop(t, "TeraValidate", at("sorted"), at("report"))
	report, sum := parts(t, at("report")), parts(t, at("checked"))
	if !bytes.HasPrefix(report, []byte("checksum\t")) || !bytes.HasPrefix(sum, report) {
		t.Errorf("TeraValidate says %q, here it is %q", report, sum)
	}
}

// hadoop runs one of Hadoop's examples on this machine's files.
func hadoop(t *testing.T, example string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	jars := enginetest.Binary(t, "hadoop")
	args = append([]string{
		"-Djava.io.tmpdir=" + t.TempDir(), "-cp", jars + "/*", "org.apache.hadoop.examples.terasort." + example,
		"-fs", "file:///", "-Dhadoop.tmp.dir=" + t.TempDir(),
	}, args...)
	cmd := exec.CommandContext(ctx, "java", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", example, err, out)
	}
}

// parts returns what is in the parts of an output, one after the other.
func parts(t *testing.T, output string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(output, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var all []byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}
