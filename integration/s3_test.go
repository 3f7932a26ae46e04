package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/infra/store/s3/s3test"
)

// TestS3 reads a job's input from a real S3 server and writes its output there, as the environment of the AWS tools
// says.
func TestS3(t *testing.T) {
	srv := s3test.Start(t)
	bucket := srv.NewBucket(t)
	st, err := s3.Open(t.Context(), srv.Config(bucket))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"logs/a.txt": "x y x\n", "logs/deep/b.txt": "y x", "logs/_c": "z",
		"other": "z"} {
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
	// run runs a command that must end with this exit code, and returns what it says.
	run := func(code int, args ...string) string {
		t.Helper()
		cmd := tr.command(args...)
		cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL="+srv.Endpoint, "AWS_REGION="+srv.Region,
			"AWS_ACCESS_KEY_ID="+keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+keys.SecretAccessKey)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	logs, counts := "s3://"+bucket+"/logs", "s3://"+bucket+"/out/counts"
	count := []string{"run", "wordcount", "--input", logs, "--output", counts}
	run(0, count...)
	got, err := store.Get(t.Context(), st, "out/counts/part-r-00000", 1<<20)
	if err != nil || string(got) != "x\t3\ny\t2\n" {
		t.Errorf("%q, %v", got, err)
	}
	if text := run(0, "verify", counts); !strings.HasPrefix(text, counts+" is whole: 1 part, 8 B") {
		t.Error(text)
	}
	if text := run(2, count...); !strings.Contains(text, counts+" exists already, written by job ") {
		t.Error(text)
	}
	run(0, append(count, "--overwrite")...)
	if text := run(2, "run", "wordcount", "--input", logs+"/no", "--output", "out"); !strings.Contains(text,
		"there is no input "+logs+"/no") {
		t.Error(text)
	}
	if err := store.Put(t.Context(), st, "out/counts/part-r-00000", []byte("x\t3\ny\t3\n")); err != nil {
		t.Fatal(err)
	}
	run(5, "verify", counts)
	chainsOnS3(t, tr.dir, st, "s3://"+bucket, run)
	trainsOnS3(t, st, "s3://"+bucket, run)
}
