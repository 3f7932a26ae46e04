package mapreduce

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWordCount(t *testing.T) {
	files := map[string]string{"a.txt": "to be or not to be\n", "b.txt": "that is the question", "empty": ""}
	dir, out := fill(t, files), t.TempDir()+"/out"
	c := newCluster(t, BodyOptions{})
	parts := c.mustRun(newJob(t, builtins("wordcount", "sum", "sum"), out, dir))
	if d := cmp.Diff(wordCounts(files["a.txt"], files["b.txt"]), merged(t, parts)); d != "" {
		t.Error(d)
	}
	t.Log(c.counters)
}
