package mapreduce

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/format"
)

// TestInputFormats reads each format by a program that shows what it gets.
func TestInputFormats(t *testing.T) {
	for f, c := range map[format.Format]struct{ in, want string }{
		format.KeyValue:  {"k\tv\tw\nalone\n", "k\tv\tw\nalone\t\n"},
		format.JSONLines: {"{\"a\": 1}\n\n[2]\n", "{\"a\": 1}\n[2]\n"},
		format.CSV:       {"a,\"b,\nc\"\n", "a\tb,\\nc\n"},
		format.WholeFile: {"some text", "URI/in\tsome text\n"},
	} {
		t.Run(string(f), func(t *testing.T) {
			in := fill(t, map[string]string{"in": c.in})
			o := programs("cat", "", "")
			o.Format = f
			parts := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
			got := strings.ReplaceAll(strings.Join(parts, ""), "file://"+in, "URI")
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestFormatsThere writes each format, compressed, by a job whose values are numbers, and reads it again.
func TestFormatsThere(t *testing.T) {
	text := strings.Repeat("to be or, not to be\n", 1000)
	in := fill(t, map[string]string{"a": text})
	for f, read := range map[format.Format]string{
		format.Sequence: "cat", format.CSV: "cat", format.JSONLines: `sed 's/{"key":"\(.*\)","value":\(.*\)}/\1\t\2/'`,
	} {
		t.Run(string(f), func(t *testing.T) {
			dir := t.TempDir()
			c := newCluster(t, BodyOptions{})
			o := builtins("wordcount", "sum", "sum")
			o.OutputFormat, o.Compress = f, codec.Gzip
			c.mustRun(newJob(t, o, dir+"/a", in))
			o = programs(read, "", "")
			o.Format = f
			job := newJob(t, o, dir+"/b", dir+"/a")
			job.ID = "aaaa-next"
			got := map[string]int{}
			for line := range strings.Lines(strings.Join(c.mustRun(job), "")) {
				got[strings.TrimSuffix(line, "\n")]++
			}
			if diff := cmp.Diff(wordCounts(text), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestReadsLines knows the built-ins whose input cannot be cut between lines.
func TestReadsLines(t *testing.T) {
	for mapper, want := range map[string]bool{"wordcount": true, "terasort": false} {
		if got := builtins(mapper, "", "").readsLines(); got != want {
			t.Errorf("%s: %v", mapper, got)
		}
	}
}

// TestFormatMistakes names the record that is not what the job says.
func TestFormatMistakes(t *testing.T) {
	in := fill(t, map[string]string{"a": "{}\n{\n"})
	o := programs("cat", "", "")
	o.Format = format.JSONLines
	_, err := newCluster(t, BodyOptions{}).run(newJob(t, o, filepath.Join(t.TempDir(), "out"), in))
	if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), "a, record at byte 3") {
		t.Error(err)
	}
	for _, bad := range []Options{
		{Format: "xml"}, {OutputFormat: format.WholeFile}, {Format: format.CSV, Partitioner: TotalOrderPartitioner},
	} {
		bad.Mapper = functions.Ref{Exec: "cat"}
		if err := bad.Validate(); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
