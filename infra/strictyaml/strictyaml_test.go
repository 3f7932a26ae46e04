package strictyaml_test

import (
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/strictyaml"
)

const schema = `{
  "type": "object", "additionalProperties": false, "required": ["kind"], "x-want": "a mapping",
  "properties": {
    "kind": {"description": "What it is.", "x-want": "one or two", "enum": ["one", "two"]},
    "deep": {"description": "Below.", "x-want": "a mapping", "type": "object", "additionalProperties": false,
      "properties": {"size": {"description": "How large.", "x-want": "a number", "x-default": "7", "type": "integer"}}}
  }
}`

func read(t *testing.T, text string) (strictyaml.Document, error) {
	t.Helper()
	parsed, err := strictyaml.Parse("x.yaml", []byte(text))
	if err != nil {
		return strictyaml.Document{}, err
	}
	return strictyaml.Read("x.yaml", parsed.Docs[0].Body)
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"kind: one\ndeep: {size: 3}\n":    "",
		"kind: three\n":                   `x.yaml line 1: kind is "three"; want one or two`,
		"deep: {}\n":                      `x.yaml: "kind" is missing; want one or two`,
		"kind: one\ndeep:\n  sise: 3\n":   `x.yaml line 3: unknown key "sise" in deep; did you mean "size"?`,
		"kind: one\ndeep:\n  size: big\n": `x.yaml line 3: size is "big" in deep; want a number`,
		"kind: one\nkind: two\n":          `x.yaml line 2: mapping key "kind" already defined at [1:1]`,
		"kind: [\n":                       "x.yaml line 1: ",
	} {
		d, err := read(t, text)
		if err == nil {
			err = d.Check(strictyaml.Schema(schema))
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestTheFirstMistakeIsTold has several, on one line and on many. The validator finds them in any order.
func TestTheFirstMistakeIsTold(t *testing.T) {
	for text, want := range map[string]string{
		"kind: one\nb: 1\na: 2\nd: 3\nc: 4\n":        `line 2: unknown key "b"`,
		"kind: one\ndeep: {z: 1, y: 2, size: x}\n":   `line 2: unknown key "z"`,
		"kind: one\ndeep: {size: x, a: 1}\nb: 2\n":   `line 2: size is "x"`,
		"b: 1\ndeep: {size: x}\nkind: three\na: 2\n": `line 1: unknown key "b"`,
	} {
		for range 30 {
			d, err := read(t, text)
			if err != nil {
				t.Fatal(err)
			}
			if err = d.Check(strictyaml.Schema(schema)); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%q: %v, want %s", text, err, want)
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	d, err := read(t, "kind: one\ndeep:\n  size: 1.10\n")
	if err != nil || d.Line("deep", "size") != 3 || d.Text("deep", "size") != "1.10" || d.Line("none") != 0 {
		t.Errorf("%v: size stands in line %d as %q", err, d.Line("deep", "size"), d.Text("deep", "size"))
	}
	if d, err := read(t, "- a list\n"); err != nil || d.Tree != nil {
		t.Errorf("a list is %v, %v", d.Tree, err)
	}
}

func TestWriteTable(t *testing.T) {
	s := strictyaml.Schema(schema)
	var b strings.Builder
	s.WriteTable(&b, "deep.", s.At([]string{"deep"}))
	if want := "| `deep.size` | | 7 | How large. | a number |\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1ms": time.Millisecond, "1us": 0, "": 0, "-1s": 0, "never": 0,
	} {
		if got, err := strictyaml.ParseTime(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("ParseTime(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1048576": 1 << 20, "256MiB": 256 << 20, "1GiB": 1 << 30, "1GB": 1e9, "1G": 1e9, "1.5 GB": 15e8,
		"2Ti": 2 << 40,
		"10B": 10, "": 0, "0": 0, "-1": 0, "x": 0, "1e3": 0, "1PiB": 0, "1GiBB": 0, "1 1": 0, "NaN": 0, "Inf": 0, "0x10": 0,
		"9999999999GB": 0, "1iB": 0, "0.1": 0,
	} {
		got, err := strictyaml.ParseSize(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}
