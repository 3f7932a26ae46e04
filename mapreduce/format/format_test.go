package format

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// read returns the records of files as KEY=VALUE; each.
func read(f Format, files ...string) (string, error) { return readSet(nil, f, files...) }

func readSet(set functions.Params, f Format, files ...string) (string, error) {
	var pieces []text.Piece
	total := 0
	for i, content := range files {
		pieces = append(pieces, text.Piece{Name: fmt.Sprint("f", i), Length: int64(len(content))})
		total += len(content)
	}
	index := func(name string) (i int) {
		if _, err := fmt.Sscanf(name, "f%d", &i); err != nil {
			panic(err)
		}
		return i
	}
	from := Source{
		Open: func(_ context.Context, p text.Piece, from int64) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(files[index(p.Name)][from:])), nil
		},
		Size: func(name string) int64 { return int64(len(files[index(name)])) },
		Set:  set,
	}
	r := NewReader(f, from, pieces)
	defer r.Close()
	var b strings.Builder
	for {
		run, err := r.Batch(context.Background())
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			if r.Done() != int64(total) {
				return "", fmt.Errorf("%d bytes of %d", r.Done(), total)
			}
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		for len(run) > 0 {
			rec, rest, err := Cut(run)
			if err != nil {
				return "", err
			}
			run = rest
			fmt.Fprintf(&b, "%s=%s;", rec.Key, rec.Value)
		}
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		f     Format
		files []string
		want  string
	}{
		{WholeFile, []string{"a\nb\n", ""}, "f0=a\nb\n;f1=;"},
		{CSV, []string{"a,b\n\"x,\"\"1\",\"two\nlines\"\n", "t\tab,\\\n"}, "=a\tb;=x,\"1\ttwo\\nlines;=t\\tab\t\\\\;"},
		{CSV, []string{""}, ""},
	} {
		if got, err := read(c.f, c.files...); err != nil || got != c.want {
			t.Errorf("%s %q: %q, %v; want %q", c.f, c.files, got, err, c.want)
		}
	}
	if _, err := read(CSV, "a,\"b\n"); errs.KindOf(err) != errs.Failed {
		t.Error(err)
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		f        Format
		in, want string
	}{
		{KeyValue, "a\tb\tc", "a|b\tc"}, {KeyValue, "a", "a|"}, {JSONLines, `{"a": 1}`, `|{"a": 1}`},
		{JSONLines, " ", "none"}, {JSONLines, "{", "failed"},
	} {
		r, ok, err := c.f.Line([]byte(c.in))
		got := fmt.Sprintf("%s|%s", r.Key, r.Value)
		if err != nil {
			got = errs.KindOf(err).String()
		} else if !ok {
			got = "none"
		}
		if got != c.want {
			t.Errorf("%s %q: %q, want %q", c.f, c.in, got, c.want)
		}
	}
}

func TestAppend(t *testing.T) {
	for f, want := range map[Format]string{
		JSONLines: `{"key":"k","value":12}` + "\n" + `{"key":"a\"b","value":"x y"}` + "\n" + `{"key":"alone"}` + "\n",
		CSV:       "k,12\n\"a\"\"b\",x y\nalone\n",
	} {
		a, b := appender(t, f)
		b = add(t, a, b, []byte("k"), []byte("12"))
		b = add(t, a, b, []byte(`a"b`), []byte("x y"))
		b = add(t, a, b, []byte("alone"), nil)
		if string(b) != want {
			t.Errorf("%s:\n%swant\n%s", f, b, want)
		}
	}
}

// sequenceOf writes n records.
func sequenceOf(t testing.TB, n int) (file []byte, want string) {
	a, b := appender(t, Sequence)
	var w strings.Builder
	for i := range n {
		value := strings.Repeat("v", i%300)
		b = add(t, a, b, []byte(fmt.Sprint(i)), []byte(value))
		fmt.Fprintf(&w, "%d=%s;", i, value)
	}
	return b, w.String()
}

func TestSequence(t *testing.T) {
	for _, n := range []int{0, 1, 2000} {
		file, want := sequenceOf(t, n)
		if got, err := read(Sequence, string(file)); err != nil || got != want {
			t.Errorf("%d records: %d bytes, %v", n, len(got), err)
		}
	}
	_, head := appender(t, Sequence)
	record := "\x00\x00\x00\x05\x00\x00\x00\x02\x01k\x02vw" // as Hadoop writes "k", "vw" as Text
	a, b := appender(t, Sequence)
	if got := add(t, a, b, []byte("k"), []byte("vw")); string(got[len(head):]) != record {
		t.Errorf("%q", got[len(head):])
	}
	file, _ := sequenceOf(t, 50)
	for i := range len(file) - 1 {
		if _, err := read(Sequence, string(file[:i])); err == nil && i < len(head) {
			t.Errorf("cut at %d, and nobody noticed", i)
		}
	}
}

// TestSequenceCompressed reads values and blocks that are compressed, with numbers as keys.
func TestSequenceCompressed(t *testing.T) {
	pack := func(b []byte) []byte {
		var out bytes.Buffer
		z := zlib.NewWriter(&out)
		_, _ = z.Write(b) // to memory
		_ = z.Close()
		return out.Bytes()
	}
	head := func(blocks byte) []byte {
		b := []byte(sequenceMagic)
		b = appendString(b, []byte("org.apache.hadoop.io.LongWritable"))
		b = appendString(b, []byte("org.apache.hadoop.io.BytesWritable"))
		b = append(b, 1, blocks)
		b = appendString(b, []byte("org.apache.hadoop.io.compress.DefaultCodec"))
		b = append(b, 0, 0, 0, 1)
		b = appendString(appendString(b, []byte("name")), []byte("value"))
		return append(b, "0123456789abcdef"...)
	}
	key := binary.BigEndian.AppendUint64(nil, ^uint64(6)) // -7
	value := append([]byte{0, 0, 0, 3}, "abc"...)

	byRecord := head(0)
	packed := pack(value)
	byRecord = binary.BigEndian.AppendUint32(byRecord, uint32(len(key)+len(packed)))
	byRecord = append(append(append(byRecord, 0, 0, 0, 8), key...), packed...)

	byBlock := append(append(head(1), 0xff, 0xff, 0xff, 0xff), "0123456789abcdef"...)
	byBlock = append(byBlock, 2)
	for _, part := range [][]byte{{8, 8}, append(bytes.Clone(key), key...), {7, 7}, append(bytes.Clone(value), value...)} {
		byBlock = appendString(byBlock, pack(part))
	}
	for want, file := range map[string][]byte{"-7=abc;": byRecord, "-7=abc;-7=abc;": byBlock} {
		if got, err := read(Sequence, string(file)); err != nil || got != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
}

func TestVInt(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 1 << 30} {
		b := appendVInt(nil, n)
		if got, err := readVInt(bytes.NewReader(b)); err != nil || got != int64(n) {
			t.Errorf("%d comes back as %d, %v", n, got, err)
		}
	}
	if n, err := readVInt(bytes.NewReader([]byte{0x87, 0xff})); n != -256 || err != nil { // as WritableUtils does it
		t.Error(n, err)
	}
}

// FuzzSequence: no file makes the reader panic, or reserve what is not there.
func FuzzSequence(f *testing.F) {
	file, _ := sequenceOf(f, 3)
	f.Add(string(file))
	f.Fuzz(func(t *testing.T, file string) {
		_, err := read(Sequence, file)
		k := errs.KindOf(err)
		if err != nil && k != errs.Corrupt && k != errs.Unsupported && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v is of kind %v", err, k)
		}
	})
}

func appender(t testing.TB, f Format) (Appender, []byte) {
	t.Helper()
	a, head, err := f.NewAppender(Output{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return a, head
}

func add(t testing.TB, a Appender, b, key, value []byte) []byte {
	t.Helper()
	b, err := a.Append(b, key, value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCSVParams(t *testing.T) {
	file := "name;n\n\"a;b\";1\nc,d;2\n"
	set := functions.Params{CSVDelimiter: ";", CSVHeader: "true"}
	if got, err := readSet(set, CSV, file, file, "name\n", ""); err != nil || got != "=a;b\t1;=c,d\t2;=a;b\t1;=c,d\t2;" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []functions.Params{
		{CSVDelimiter: ""}, {CSVDelimiter: ";;"}, {CSVDelimiter: "\""}, {CSVDelimiter: "\xff"}, {CSVHeader: "yes"},
	} {
		if err := CSV.CheckParams(bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if left := CSV.Others(functions.Params{CSVDelimiter: ";", CSVHeader: "true", "other": "x"}); len(left) != 1 {
		t.Error(left)
	}
}
