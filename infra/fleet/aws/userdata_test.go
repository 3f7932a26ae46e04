package aws

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUserData runs what machines boot with where the tools that it needs only tell how they were called: on a machine
// whose first process is systemd, on another one, and where somebody has changed the program on its way.
func TestUserData(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(modules, "modules", "machines", "user-data.tftpl"))
	if err != nil {
		t.Fatal(err)
	}
	const (
		kept = "DIR/systemd-run --unit=runner --setenv=HOME=/root -p Restart=on-abnormal " +
			"-p StandardOutput=journal+console -p StandardError=journal+console "
		runs = "DIR/runner node-init --provider aws --cluster demo --role worker --bucket runner-demo-1 --servers 3"
		tell = `echo "$0 $*" >DIR/ran`
	)
	tools := map[string]string{
		"aws":         `test "$*" = "s3 cp --no-progress s3://runner-demo-1/_runner/bin/x DIR/runner" && cp DIR/fetched "$5"`,
		"sha256sum":   `read sum file && test "$sum" = 0k && test -f "$file"`,
		"systemd-run": tell,
		"fetched":     tell,
	}
	for what, test := range map[string]struct{ first, sum, ran string }{
		"systemd":           {"systemd", "0k", kept + runs},
		"another":           {"sh", "0k", runs},
		"a changed program": {"systemd", "other", ""},
	} {
		dir := t.TempDir()
		tools["cat"] = "echo " + test.first // what is asked of /proc/1/comm
		for name, script := range tools {
			script = "#!/bin/sh\n" + strings.ReplaceAll(script, "DIR", dir) + "\n"
			if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		boot := strings.NewReplacer("/usr/local/bin", dir, "${bucket}", "runner-demo-1", "${key}", "_runner/bin/x",
			"${sum}", test.sum, "${cluster}", "demo", "${role}", "worker", "${flags}", "--servers 3").Replace(string(text))
		cmd := exec.CommandContext(t.Context(), "sh", "-c", boot)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if (err == nil) != (test.ran != "") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
		ran, _ := os.ReadFile(filepath.Join(dir, "ran")) // which is not there when nothing was run
		if want := strings.ReplaceAll(test.ran, "DIR", dir); strings.TrimSpace(string(ran)) != want {
			t.Errorf("%s: it has run\n%swant\n%s", what, ran, want)
		}
	}
}
