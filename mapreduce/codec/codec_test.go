package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

// pack compresses data.
func pack(t testing.TB, c Codec, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := c.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{data[:len(data)/3], data[len(data)/3:]} {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(c Codec, packed []byte) ([]byte, error) {
	r, err := c.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// words are n lines of text.
func words(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "line %d %x\n", i, r.Uint32N(1<<20))
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	noise := make([]byte, 700_000)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(noise) // never fails
	for _, c := range append(Names(), None) {
		for name, data := range map[string][]byte{"empty": {}, "short": []byte("x"), "lines": words(50_000), "noise": noise} {
			packed := pack(t, c, data)
			got, err := unpack(c, packed)
			if c == Gzip && len(data) == 0 && len(packed) == 0 {
				continue
			}
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s %s: %d bytes of %d, %v", c, name, len(got), len(data), err)
			}
			if c != None && name == "lines" && len(packed) > len(data)*3/4 {
				t.Errorf("%s: %d bytes of %d", c, len(packed), len(data))
			}
		}
	}
}

// TestMembers reads files that are two files, one after the other.
func TestMembers(t *testing.T) {
	for _, c := range Names() {
		both := append(bytes.Clone(pack(t, c, []byte("one\n"))), pack(t, c, []byte("two\n"))...)
		got, err := unpack(c, both)
		if string(got) != "one\ntwo\n" {
			t.Errorf("%s: %q %v", c, got, err)
		}
	}
}

func TestForFile(t *testing.T) {
	for name, want := range map[string]Codec{
		"a.gz": Gzip, "s3://b/x.txt.bz2": Bzip2, "a.zst": Zstd, "a.snappy": Snappy, "a.lz4": LZ4, "a.sz": SnappyFramed,
		"a.txt": None, "gz": None, "a.gz/b": None, "": None,
	} {
		if got := ForFile(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if err := Codec("zip").Check(); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}

// TestTools compares with the programs that people have, where they are installed.
func TestTools(t *testing.T) {
	data := words(20_000)
	for c, tool := range map[Codec]string{Gzip: "gzip", Bzip2: "bzip2", Zstd: "zstd", LZ4Frame: "lz4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Log(tool, "is not installed")
			continue
		}
		for args, in := range map[string][]byte{"-dc": pack(t, c, data), "-c": data} {
			cmd := exec.Command(tool, args)
			cmd.Stdin = bytes.NewReader(in)
			out, err := cmd.Output()
			if args == "-c" && err == nil {
				out, err = unpack(c, out)
			}
			if err != nil || !bytes.Equal(out, data) {
				t.Errorf("%s %s: %d bytes, %v", tool, args, len(out), err)
			}
		}
	}
}

// TestCorrupt damages and cuts files: no reader may hang, panic or, where the form has a checksum, be silent.
func TestCorrupt(t *testing.T) {
	data := words(3000)
	for _, c := range Names() {
		packed := pack(t, c, data)
		for i := 0; i < len(packed); i += 1 + len(packed)/60 {
			bad := bytes.Clone(packed)
			bad[i] ^= 0x55
			got, err := unpack(c, bad)
			if err == nil && !bytes.Equal(got, data) && c != Snappy && c != LZ4 { // which have no checksums
				t.Errorf("%s: byte %d changed, and nobody noticed", c, i)
			}
			if _, err := unpack(c, packed[:i]); err == nil && i > 0 && (c == Snappy || c == LZ4) {
				t.Errorf("%s: cut at %d, and nobody noticed", c, i)
			}
		}
	}
}

// TestBlocks cuts bzip2 files at every place that matters and finds each line once.
func TestBlocks(t *testing.T) {
	long := append(bytes.Repeat([]byte("long "), 500_000), '\n') // a line of several blocks
	for name, data := range map[string][]byte{
		"lines": words(80_000), "no last end": []byte(strings.TrimSpace(string(words(60_000)))), "empty": {},
		"long line": slices.Concat(words(1000), long, words(1000)), "one": []byte("x"),
	} {
		packed := pack(t, Bzip2, data)
		packed = append(packed, pack(t, Bzip2, []byte("\nsecond stream\n"))...)
		want := string(data) + "\nsecond stream\n"
		for _, size := range []int{len(packed), len(packed)/2 + 1, len(packed)/7 + 1, 70_001} {
			var got bytes.Buffer
			for at := 0; at < len(packed); at += size {
				length := int64(min(size, len(packed)-at))
				if _, err := io.Copy(&got, NewBlocks(bytes.NewReader(packed[at:]), length, at == 0)); err != nil {
					t.Fatal(name, size, at, err)
				}
			}
			if got.String() != want {
				t.Errorf("%s in pieces of %d: %d bytes, want %d", name, size, got.Len(), len(want))
			}
		}
		if len(packed) < 1000 {
			continue // the middle is between the streams
		}
		packed[len(packed)/2] ^= 1
		_, err := io.Copy(io.Discard, NewBlocks(bytes.NewReader(packed), int64(len(packed)), true))
		if err == nil || !errors.Is(err, errs.Corrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(name, "damaged:", err)
		}
	}
}

// FuzzRead: no input makes a reader panic.
func FuzzRead(f *testing.F) {
	for _, c := range Names() {
		f.Add(string(c), pack(f, c, []byte("some\nlines\n")))
	}
	f.Fuzz(func(_ *testing.T, name string, data []byte) {
		r, err := Codec(name).NewReader(bytes.NewReader(data))
		if err == nil {
			_, _ = io.CopyN(io.Discard, r, 1<<20) // any error will do
			_ = r.Close()
		}
		_, _ = io.CopyN(io.Discard, NewBlocks(bytes.NewReader(data), int64(len(data)), false), 1<<20)
	})
}
