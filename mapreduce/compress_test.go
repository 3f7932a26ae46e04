package mapreduce

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/codec"
)

// TestShuffleCompresses: what maps leave is smaller, and what reducers make of it the same.
func TestShuffleCompresses(t *testing.T) {
	var stored []int64
	for _, codec := range []string{"none", "s2", "zstd"} {
		job, want := wordJob(t)
		o := builtins("wordcount", "", "sum")
		o.ShuffleCompress = codec
		job.Engine, _ = json.Marshal(o)
		c := newCluster(t, BodyOptions{NoLocal: true})
		sum, err := c.run(job)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, merged(t, c.parts(strings.TrimPrefix(job.Output, "file://")))); d != "" {
			t.Errorf("%s: %s", codec, d)
		}
		stored = append(stored, sum.Totals.SegmentBytes)
	}
	if stored[1]*3 > stored[0] || stored[2]*3 > stored[0] {
		t.Errorf("bytes stored without and with compression: %d", stored)
	}
}

// TestCompress writes output with each codec, and reads it as the input of a word count.
func TestCompress(t *testing.T) {
	text := strings.Repeat("some words and some more\n", 20_000)
	in := fill(t, map[string]string{"a": text})
	for _, c := range codec.Names() {
		t.Run(string(c), func(t *testing.T) {
			o := builtins("cat", "", "")
			o.Mapper.Builtin, o.Mapper.Exec, o.Compress = "", "cat", c
			dir := t.TempDir()
			cl := newCluster(t, BodyOptions{})
			parts := cl.mustRun(newJob(t, o, dir+"/packed", in))
			if n := len(parts[0]); n == 0 || n > len(text)/2 {
				t.Errorf("%d bytes of %d", n, len(text))
			}
			job := newJob(t, builtins("wordcount", "sum", "sum"), dir+"/counts", dir+"/packed/part-*"+c.Ext())
			job.ID = "aaaa-next"
			if diff := cmp.Diff(wordCounts(text), merged(t, cl.mustRun(job))); diff != "" {
				t.Error(diff)
			}
		})
	}
	o := builtins("wordcount", "", "")
	o.Compress = "zip"
	if err := o.Validate(); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}

// TestBzip2Splits lets several maps read one bzip2 file: each word is counted once.
func TestBzip2Splits(t *testing.T) {
	var text strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&text, "line %d of words\n", i*7919%100_003)
	}
	var b bytes.Buffer
	w, err := codec.Bzip2.NewWriter(&b)
	if err == nil {
		_, err = io.WriteString(w, text.String())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	in := fill(t, map[string]string{"a.bz2": b.String()})
	o := builtins("wordcount", "sum", "sum")
	o.SplitSize = int64(b.Len()) / 3
	job := newJob(t, o, filepath.Join(t.TempDir(), "out"), in)
	c := newCluster(t, BodyOptions{})
	if diff := cmp.Diff(wordCounts(text.String()), merged(t, c.mustRun(job))); diff != "" {
		t.Error(diff[:min(len(diff), 500)])
	}
	maps := 0
	for task := range c.ran {
		if task.Stage == mapStage {
			maps++
		}
	}
	if maps < 3 {
		t.Errorf("%d maps", maps)
	}
}
