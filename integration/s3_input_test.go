package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/infra/store/s3/s3test"
	"github.com/seed3322913c/runner/runner/embedded"
)

// TestInputInS3 reads a job's input from a real S3 server, as the environment of the AWS tools says.
func TestInputInS3(t *testing.T) {
	srv := s3test.Start(t)
	bucket := srv.NewBucket(t)
	st, err := s3.Open(t.Context(), srv.Config(bucket))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"logs/a.txt": "x y x\n", "logs/deep/b.txt": "y x", "logs/_c": "z", "other": "z"} {
		if err := store.Put(t.Context(), st, store.Name(name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := srv.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	env := []string{
		"AWS_ENDPOINT_URL=" + srv.Endpoint, "AWS_REGION=" + srv.Region, "AWS_ACCESS_KEY_ID=" + keys.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + keys.SecretAccessKey, embedded.HomeEnv + "=" + tr.home,
	}
	cmd := tr.command("run", "wordcount", "--input", "s3://"+bucket+"/logs", "--output", "out")
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(tr.dir, "out", "part-r-00000"))
	if err != nil || string(got) != "x\t3\ny\t2\n" {
		t.Errorf("%q, %v", got, err)
	}
	missing := tr.command("run", "wordcount", "--input", "s3://"+bucket+"/nothing", "--output", "out2")
	missing.Env = append(missing.Env, env...)
	if out, err := missing.CombinedOutput(); err == nil || missing.ProcessState.ExitCode() != 2 ||
		!strings.Contains(string(out), "there is no input s3://"+bucket+"/nothing") {
		t.Errorf("exit code %d: %s", missing.ProcessState.ExitCode(), out)
	}
}
