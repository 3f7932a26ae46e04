package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A job that is written and read again, elsewhere, is the same job.
func TestYAML(t *testing.T) {
	texts := map[string]string{
		"whole": strings.Replace(whole, "Word Count", "words", 1), "several": several, "churn": churn,
		"quoting": "kind: mapreduce\nname: q\ninput: ['a: b', \"1\", '#c', \"two\\nlines\", '*x']\noutput: \"'\"\n" +
			"mapreduce: {mapper: {exec: \"awk '{print $1 \\\": #\\\"}'\"}, set: {a: '{{.FireTime}}', b: 'no', n: " +
			"'~'}}\nretry: {timeout: never}\n",
		"task": "kind: task\ntask: {command: 'python3 x.py', tasks: 7, timeout: 90s, env: {A: '1'}}\n" +
			"files: [lists/stop.txt#stop]\narchives: d.tgz\nresources: {gpus: 1, memory: 700MiB}\nsecrets: KEY\n",
	}
	examples, err := filepath.Glob("../../*/examples/*/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range examples {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	for name, text := range texts {
		all, err := Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			job, err := s.Job("/some where")
			if err != nil {
				t.Fatal(err)
			}
			written, err := YAML(job)
			if err != nil {
				t.Fatal(err)
			}
			again, err := parseOne(t, string(written)).Job("/elsewhere")
			if err != nil {
				t.Fatalf("%v in\n%s", err, written)
			}
			if diff := cmp.Diff(job, again); diff != "" {
				t.Errorf("%s was written as\n%s%s", name, written, diff)
			}
		}
	}
}
