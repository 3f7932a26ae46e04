package functions_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// checkCodecs draws values and checks that both codecs give them back, and that the order of keys is that of bytes.
func checkCodecs[T any](t *testing.T, draw *rapid.Generator[T], compare func(a, b T) int) {
	t.Helper()
	keys, values := functions.KeyCodec[T](), functions.ValueCodec[T]()
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		for _, codec := range []functions.Codec[T]{keys, values} {
			encoded, err := codec.Append([]byte("before"), a)
			if err != nil {
				t.Fatal(err)
			}
			encoded = bytes.TrimPrefix(encoded, []byte("before"))
			got, err := codec.Decode(encoded)
			if err != nil {
				t.Fatal(err)
			}
			for i := range encoded {
				encoded[i] ^= 0xff // what was decoded must not notice
			}
			if diff := gocmp.Diff(a, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(diff)
			}
		}
		ka, _ := keys.Append(nil, a)
		kb, _ := keys.Append(nil, b)
		if got, want := bytes.Compare(ka, kb), compare(a, b); got != want {
			t.Fatalf("the keys of %v and %v compare as %d, want %d", a, b, got, want)
		}
	})
}

type reading struct {
	Name string
	At   []float64
}

func TestCodecs(t *testing.T) {
	t.Run("string", func(t *testing.T) { checkCodecs(t, rapid.String(), cmp.Compare) })
	t.Run("bytes", func(t *testing.T) { checkCodecs(t, rapid.SliceOf(rapid.Byte()), bytes.Compare) })
	t.Run("int", func(t *testing.T) { checkCodecs(t, rapid.Int(), cmp.Compare) })
	t.Run("int64", func(t *testing.T) { checkCodecs(t, rapid.Int64(), cmp.Compare) })
	t.Run("float64", func(t *testing.T) { checkCodecs(t, rapid.Float64(), cmp.Compare) })
	t.Run("bool", func(t *testing.T) {
		checkCodecs(t, rapid.Bool(), func(a, b bool) int { return cmp.Compare(number(a), number(b)) })
	})
	t.Run("none", func(t *testing.T) { checkCodecs(t, rapid.Just(struct{}{}), func(a, b struct{}) int { return 0 }) })
	t.Run("binary", func(t *testing.T) {
		draw := rapid.Custom(func(t *rapid.T) point {
			return point{rapid.Byte().Draw(t, "x"), rapid.Byte().Draw(t, "y")}
		})
		checkCodecs(t, draw,
			func(a, b point) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y)) })
	})
	t.Run("json", func(t *testing.T) {
		draw := rapid.Custom(func(t *rapid.T) reading {
			return reading{rapid.String().Draw(t, "name"), rapid.SliceOf(rapid.Float64()).Draw(t, "at")}
		})
		checkCodecs(t, draw, func(a, b reading) int {
			ja, _ := json.Marshal(a)
			jb, _ := json.Marshal(b)
			return bytes.Compare(ja, jb)
		})
	})
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// point has bytes of its own.
type point struct{ X, Y byte }

func (p point) AppendBinary(dst []byte) ([]byte, error) {
	return append(dst, p.X, p.Y), nil
}

func (p *point) UnmarshalBinary(b []byte) error {
	if len(b) != 2 {
		return errors.New("not a point")
	}
	p.X, p.Y = b[0], b[1]
	return nil
}

func TestFloatKeysAreOrdered(t *testing.T) {
	const tiny = math.SmallestNonzeroFloat64
	ordered := []float64{math.Inf(-1), -math.MaxFloat64, -1, -tiny, 0, tiny, 1, math.Inf(1), math.NaN()}
	codec := functions.KeyCodec[float64]()
	var last []byte
	for _, f := range ordered {
		key, _ := codec.Append(nil, f)
		if bytes.Compare(last, key) >= 0 {
			t.Errorf("the key of %v is not after the one before", f)
		}
		last = key
	}
	zero, _ := codec.Append(nil, 0)
	minus, _ := codec.Append(nil, math.Copysign(0, -1))
	if !bytes.Equal(zero, minus) {
		t.Error("the two zeros are two keys")
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{text(functions.ValueCodec[int](), -12), "-12"},
		{text(functions.KeyCodec[int64](), math.MinInt64), "-9223372036854775808"},
		{text(functions.KeyCodec[float64](), 1e6), "1000000"},
		{text(functions.ValueCodec[float64](), 0.1), "0.1"},
		{text(functions.ValueCodec[float64](), 1e21), "1e+21"},
		{text(functions.ValueCodec[float64](), 1e-7), "1e-07"},
		{text(functions.ValueCodec[float64](), math.NaN()), "NaN"},
		{text(functions.ValueCodec[bool](), true), "true"},
		{text(functions.ValueCodec[string](), "a\xffb"), "a\xffb"},
		{text(functions.ValueCodec[struct{}](), struct{}{}), ""},
		{text(functions.ValueCodec[point](), point{1, 2}), `{"X":1,"Y":2}`},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func text[T any](c functions.Codec[T], v T) string {
	b, err := c.Text(nil, v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestBadBytesAreCorrupt(t *testing.T) {
	for name, err := range map[string]error{
		"key int":     decodeError(functions.KeyCodec[int](), "1234567"),
		"value int":   decodeError(functions.ValueCodec[int64](), "\x02\x02"),
		"empty int":   decodeError(functions.ValueCodec[int64](), ""),
		"key float":   decodeError(functions.KeyCodec[float64](), ""),
		"value float": decodeError(functions.ValueCodec[float64](), "123456789"),
		"bool":        decodeError(functions.ValueCodec[bool](), "\x02"),
		"binary":      decodeError(functions.ValueCodec[point](), "\x02"),
		"json":        decodeError(functions.ValueCodec[reading](), "{"),
		"none":        decodeError(functions.ValueCodec[struct{}](), "x"),
	} {
		if !errors.Is(err, errs.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := functions.ValueCodec[reading]().Append(nil, reading{At: []float64{math.NaN()}})
	if !errors.Is(err, errs.Invalid) {
		t.Errorf("%v", err)
	}
}

func decodeError[T any](c functions.Codec[T], src string) error {
	_, err := c.Decode([]byte(src))
	return err
}

func TestLines(t *testing.T) {
	for text, want := range map[string][]string{
		"":              nil,
		"\n":            {""},
		"a":             {"a"},
		"a\nb":          {"a", "b"},
		"a\r\n\r\nb\r":  {"a", "", "b\r"},
		"\r\r\n\n":      {"\r", ""},
		"a\x00\xff\nb ": {"a\x00\xff", "b "},
	} {
		var got []string
		for line := range functions.Lines([]byte(text)) {
			got = append(got, string(line))
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
		if n := functions.CountLines([]byte(text)); n != int64(len(want)) {
			t.Errorf("%q: counted %d lines, want %d", text, n, len(want))
		}
	}
	for range functions.Lines([]byte("a\nb")) {
		break // a loop may end early
	}
}

func TestParams(t *testing.T) {
	declared := []functions.Param{
		{Name: "pattern", Doc: "what", Required: true}, {Name: "group", Default: "0"}, {Name: "flag"},
	}
	given := functions.Params{"pattern": "a", "foreign": "x"}
	all, err := given.Complete(declared)
	if diff := gocmp.Diff(functions.Params{"pattern": "a", "foreign": "x", "group": "0"}, all); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if len(given) != 2 {
		t.Error("the caller's parameters were changed")
	}
	if _, err := functions.Params(nil).Complete(declared); !errors.Is(err, errs.Invalid) {
		t.Errorf("%v", err)
	}
	err = given.CheckKnown(declared)
	if !errors.Is(err, errs.Invalid) || !strings.Contains(err.Error(), `unknown parameter "foreign"`) {
		t.Errorf("%v", err)
	}
	if err := (functions.Params{"group": "1"}).CheckKnown(declared); err != nil {
		t.Errorf("%v", err)
	}
}

func TestFolds(t *testing.T) {
	for _, c := range []struct {
		kind functions.FoldKind
		want int64
	}{{functions.FoldSum, 4}, {functions.FoldMin, -1}, {functions.FoldMax, 5}} {
		f, ok := functions.NewInt64Fold(c.kind).(functions.Int64FoldKind)
		if !ok || f.Int64Fold() != c.kind || f.FoldInt64(5, -1) != c.want {
			t.Errorf("%v is not itself", c.kind)
		}
		if functions.ParseFoldKind(c.kind.String()) != c.kind {
			t.Errorf("%v is not parsed", c.kind)
		}
	}
	if functions.ParseFoldKind("median") != functions.FoldOther {
		t.Error("median was parsed")
	}
	for _, kind := range []functions.ValueKind{functions.ValueBytes, functions.ValueInt64, functions.ValueText} {
		if got, ok := functions.ParseValueKind(kind.String()); got != kind || !ok {
			t.Errorf("%v is not parsed", kind)
		}
	}
	if _, ok := functions.ParseValueKind("float"); ok {
		t.Error("float was parsed")
	}
}
