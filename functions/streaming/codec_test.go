package streaming

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// binaryMapper runs a command that reads and writes the codecs.
func binaryMapper(t *testing.T, command string, in, out codec) *Mapper {
	t.Helper()
	return mapper(t, Options{Command: command, Params: functions.Params{
		"stream.map.input": string(in), "stream.map.output": string(out),
	}})
}

func TestBinaryMapper(t *testing.T) {
	for _, c := range []struct {
		name, command string
		in, out       codec
		want          string
	}{
		{"raw bytes", "cat", rawBytes, rawBytes, "=a b;=;"},
		{"typed bytes", "cat", typedBytes, typedBytes, "=a b;=;"},
		{"what it reads", "od -An -c | tr -d ' \\n'", rawBytes, text, `\0\0\0\0\0\0\0003ab\0\0\0\0\0\0\0\0;`},
		{"with types", "od -An -tx1 | tr -d ' \\n'", typedBytes, text,
			"070000000007000000036120620700000000" + "0700000000;"},
		{"out alone", `printf '\0\0\0\1k\0\0\0\3v\nw'`, text, rawBytes, "k=v\nw;"},
		{"all types",
			`printf '\3\377\377\377\376\4\0\0\0\0\0\0\0\5'; printf '\2\1\1\200'; printf '\5\077\300\0\0\0\0\0\0\1x';` +
				`printf '\6\077\271\231\231\231\231\231\232\7\0\0\0\1y'`, text, typedBytes, "-2=5;true=-128;1.5=x;0.1=y;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := binaryMapper(t, c.command, c.in, c.out)
			var out records
			if n, err := m.MapBatch([]byte("a b\n\n"), &out); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			if err := m.Cleanup(&out); err != nil || out.String() != c.want {
				t.Errorf("%q %v, want %q", out.String(), err, c.want)
			}
		})
	}
}

// TestBinaryIsCut sends records that are longer than any chunk, with any bytes in them.
func TestBinaryIsCut(t *testing.T) {
	for _, c := range []codec{rawBytes, typedBytes} {
		m := binaryMapper(t, "cat", c, c)
		var out, want records
		for i := range 200 {
			key := []byte(fmt.Sprint("\n\t", i))
			value := bytes.Repeat([]byte{byte(i), '\n', 0}, i*i)
			if err := want.Emit(key, value); err != nil {
				t.Fatal(err)
			}
			if err := m.Map(functions.Record{Key: key, Value: value}, &out); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Cleanup(&out); err != nil || out.String() != want.String() {
			t.Errorf("%s: %d bytes came back of %d, or others: %v", c, out.Len(), want.Len(), err)
		}
	}
}

func TestBinaryNonsense(t *testing.T) {
	for command, want := range map[string]string{
		`printf '\0\0\0\7abc'`:          "ended within a record",
		`printf '\7\0\0\0\1k'`:          "ended within a record",
		`printf '\11'`:                  "type 9 of typedbytes is not supported",
		`printf '\7\377\377\377\377ab'`: "at most 1073741824 are allowed",
	} {
		out := typedBytes
		if strings.Contains(command, "abc") {
			out = rawBytes
		}
		m := binaryMapper(t, command, text, out)
		if err := m.Cleanup(&records{}); errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
}

// TestTypedNumbers: a combiner over numbers gets them as longs, and gives them back.
func TestTypedNumbers(t *testing.T) {
	c, err := NewCombiner(t.Context(), Options{Command: "cat", Values: functions.ValueInt64, Params: functions.Params{
		"stream.map.output": "typedbytes",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out records
	if err := c.Reduce([]byte("k"), ints(-3, math.MaxInt64), &out); err != nil {
		t.Fatal(err)
	}
	want := "k=" + string(binary.AppendVarint(nil, -3)) + ";k=" + string(binary.AppendVarint(nil, math.MaxInt64)) + ";"
	if err := c.Flush(&out); err != nil || out.String() != want {
		t.Errorf("%q %v", out.String(), err)
	}
	for _, p := range []functions.Params{{"stream.map.input": "binary"}, {"stream.map.output": "TypedBytes"}} {
		if _, err := NewMapper(t.Context(), Options{Command: "cat", Params: p}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v: %v", p, err)
		}
	}
	parts := Options{Command: "cat", Parts: true, Params: functions.Params{"stream.map.output": "rawbytes"}}
	if _, err := NewMapper(t.Context(), parts); errs.KindOf(err) != errs.Unsupported {
		t.Error(err)
	}
}

// FuzzCut takes anything apart: it never panics, and what it takes is in front of what is left.
func FuzzCut(f *testing.F) {
	f.Add(true, []byte("\x07\x00\x00\x00\x01k\x04\x00\x00\x00\x00\x00\x00\x00\x05rest"))
	f.Add(false, []byte("\x00\x00\x00\x02ab\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, typed bool, b []byte) {
		c := rawBytes
		if typed {
			c = typedBytes
		}
		item, rest, _, ok, err := c.cut(b, nil)
		if err == nil && ok && (len(rest) >= len(b) || !bytes.HasSuffix(b, rest)) {
			t.Errorf("%q, and %q is left of %q", item, rest, b)
		}
	})
}
