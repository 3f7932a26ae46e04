package fleet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// TestFiles takes a program and a list along, which the cluster's machines can see no other way, and leaves neither
// there when the job is over.
func TestFiles(t *testing.T) {
	tr := newTrial(t)
	for name, text := range map[string]string{
		"map.sh": "tr -s ' \\t' '\\n' | grep -vxFf stop\n", "stop.txt": "the\nand\n",
		"files.yaml": fmt.Sprintf(`kind: mapreduce
name: files
input: s3://%[1]s/%[2]s/text
output: s3://%[1]s/%[2]s/out
files: [map.sh, stop.txt#stop]
mapreduce: {mapper: {exec: "sh map.sh"}, reducer: {exec: "cut -f 1"}, reducers: 1}
resources: {memory: 256MiB}
`, cluster.Bucket, tr.folder),
	} {
		if err := os.WriteFile(filepath.Join(tr.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Put(t.Context(), tr.bucket, store.Name(tr.folder+"/text"),
		[]byte("the cat and\nthe dog\n")); err != nil {
		t.Fatal(err)
	}
	id := scheduler.JobID(strings.TrimSpace(tr.run("run", "files.yaml", "--detach")))
	tr.start("resume", string(id)).end()
	got, err := store.Get(t.Context(), tr.bucket, store.Name(tr.folder+"/out/part-r-00000"), 1<<20)
	if err != nil || string(got) != "cat\ndog\n" {
		t.Errorf("%q, %v", got, err)
	}
	tr.nothingLeft(id)
	for info, err := range tr.bucket.List(t.Context(), string(cache.Objects(id))) {
		t.Errorf("left behind: %s, %v", info.Name, err)
	}
}
