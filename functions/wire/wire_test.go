package wire_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// TestBytes holds the package comment to its word.
func TestBytes(t *testing.T) {
	record := func(add func(*wire.Batch)) []byte {
		var b wire.Batch
		b.Reset(nil)
		add(&b)
		f, err := b.Frame(wire.Records)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		what  string
		frame []byte
		want  string
	}{
		{"hello", wire.HelloFrame(1), "48 07000000 52554e4e4552 01"},
		{"flush", wire.Frame(wire.Flush, nil), "46 00000000"},
		{"int64", record(func(b *wire.Batch) { b.Int64Record([]byte("the"), 1) }), "52 06000000 04746865 0202"},
		{"empty value", record(func(b *wire.Batch) { b.Record([]byte("the"), []byte{}) }), "52 05000000 04746865 01"},
		{"no value", record(func(b *wire.Batch) { b.Record([]byte("the"), nil) }), "52 05000000 04746865 00"},
		{"group", record(func(b *wire.Batch) { b.Key([]byte("the")); b.Value([]byte{2}); b.Value([]byte{4}) }),
			"52 09000000 0003746865 0202 0204"},
		{"lines", record(func(b *wire.Batch) { b.Lines([]byte("a\n")) }), "52 02000000 610a"},
	} {
		if got, want := hex.EncodeToString(c.frame), strings.ReplaceAll(c.want, " ", ""); got != want {
			t.Errorf("%s: %s, want %s", c.what, got, want)
		}
	}
}

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type frame struct {
			Type    wire.Type
			Payload []byte
		}
		kinds := []wire.Type{wire.Lines, wire.Records, wire.Groups, wire.Opening, wire.Counters, wire.Status, wire.End}
		var sent, got []frame
		var stream bytes.Buffer
		for range rapid.IntRange(0, 5).Draw(t, "frames") {
			f := frame{rapid.SampledFrom(kinds).Draw(t, "type"), rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "payload")}
			sent = append(sent, f)
			stream.Write(wire.Frame(f.Type, f.Payload))
		}
		buf := make([]byte, 0, rapid.IntRange(0, 100).Draw(t, "buffer"))
		for {
			kind, payload, err := wire.Read(&stream, buf)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if cap(payload) < len(payload)+wire.Spare {
				t.Fatal("no spare capacity behind a payload")
			}
			got = append(got, frame{kind, bytes.Clone(payload)})
		}
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestBatchesRoundTrip(t *testing.T) {
	type record struct{ Key, Value []byte }
	bytesOrNone := rapid.Ptr(rapid.SliceOfN(rapid.Byte(), 0, 200), true)
	field := func(t *rapid.T, name string) []byte {
		if p := bytesOrNone.Draw(t, name); p != nil {
			return append([]byte{}, *p...)
		}
		return nil
	}
	rapid.Check(t, func(t *rapid.T) {
		var b wire.Batch
		b.Reset(make([]byte, 10))
		var put, got []record
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			r := record{field(t, "key"), field(t, "value")}
			put = append(put, r)
			b.Record(r.Key, r.Value)
		}
		if b.Empty() != (len(put) == 0) {
			t.Fatal("Empty is wrong")
		}
		f, err := b.Frame(wire.Records)
		if err != nil {
			t.Fatal(err)
		}
		_, payload, err := wire.Read(bytes.NewReader(f), nil)
		for err == nil && len(payload) > 0 {
			var r record
			r.Key, r.Value, payload, err = wire.CutRecord(payload)
			got = append(got, r)
		}
		if diff := cmp.Diff(put, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
}

func TestDamagedStreamsAreNoticed(t *testing.T) {
	for _, c := range []struct{ stream, want string }{
		{"R\x05\x00\x00\x00abcd", "unexpected EOF"},
		{"R\x05\x00", "unexpected EOF"},
		{"R\xff\xff\xff\xff", "is not the head of a frame"},
		{"S\x01\x00\x10\x00", "is not the head of a frame"},
		{"z\x00\x00\x00\x00", "is not the head of a frame"},
	} {
		_, _, err := wire.Read(strings.NewReader(c.stream), nil)
		if !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.stream, err)
		}
	}
	for _, stream := range []string{
		"RUNNER", "H\x07\x00\x00\x00RUNNER\x00", "H\x07\x00\x00\x00RUNNER", "H\x07\x00\x00\x00RUNNEr\x01", "usage: x",
	} {
		if _, err := wire.ReadHello(bufio.NewReader(strings.NewReader(stream))); !errors.Is(err, errs.Corrupt) {
			t.Errorf("%q: %v", stream, err)
		}
	}
	if _, err := wire.ReadHello(bufio.NewReader(strings.NewReader(""))); err != io.EOF {
		t.Errorf("nothing: %v", err)
	}
}

func TestJSONFrame(t *testing.T) {
	if _, err := wire.JSONFrame(wire.Failed, strings.Repeat("x", wire.MaxControl)); !errors.Is(err, errs.Exhausted) {
		t.Errorf("%v", err)
	}
	if _, err := wire.JSONFrame(wire.Failed, func() {}); err == nil {
		t.Error("a function was sent")
	}
	var o wire.Open
	if err := wire.ParseJSON([]byte(`{"role": 1}`), &o); !errors.Is(err, errs.Corrupt) {
		t.Errorf("%v", err)
	}
}

func TestFailureKinds(t *testing.T) {
	for kind, want := range map[string]errs.Kind{
		"": errs.Failed, "failed": errs.Failed, "invalid": errs.Invalid, "exhausted": errs.Exhausted,
		"fenced": errs.Failed, "canceled": errs.Failed, "internal error": errs.Failed, "nonsense": errs.Failed,
	} {
		if got := (&wire.Failure{Kind: kind}).ErrKind(); got != want {
			t.Errorf("%q is %v, want %v", kind, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(wire.HelloFrame(1))
	f.Add(append(wire.Frame(wire.Records, []byte("\x04the\x02\x02")), wire.Frame(wire.Flush, nil)...))
	f.Add([]byte("L\xff\xff\xff\x3fshort"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		for {
			kind, payload, err := wire.Read(r, nil)
			if err != nil {
				if err != io.EOF && !errors.Is(err, errs.Corrupt) {
					t.Errorf("error %v is not Corrupt", err)
				}
				return
			}
			if cap(payload) > 2*len(stream)+wire.MaxControl+2*wire.Spare+64<<10 {
				t.Errorf("%d bytes of memory for %d bytes of input", cap(payload), len(stream))
			}
			if again := wire.Frame(kind, payload); !bytes.HasPrefix(stream, again) {
				t.Errorf("%q was read from %q", again, stream)
			}
			stream = stream[len(stream)-r.Len():]
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add([]byte("\x04the\x02\x02"))
	f.Add([]byte("\x00\x03the\x02\x02\x02\x04"))
	f.Add([]byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for rest := payload; len(rest) > 0; {
			_, _, after, err := wire.CutRecord(rest)
			if err != nil {
				if !errors.Is(err, errs.Corrupt) {
					t.Errorf("error %v is not Corrupt", err)
				}
				break
			}
			if len(after) >= len(rest) {
				t.Fatal("no progress")
			}
			rest = after
		}
		for rest := payload; len(rest) > 0; {
			_, _, after, err := wire.CutGroup(rest)
			if err != nil {
				break
			}
			if len(after) >= len(rest) {
				t.Fatal("no progress")
			}
			rest = after
		}
	})
}
