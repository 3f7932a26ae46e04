package functions

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// talk has serve read an executor's frames, and returns what it answers as readable lines.
func talk(t testing.TB, frames [][]byte, fns ...Function) (answers []string, err error) {
	t.Helper()
	raws := make([]Raw, len(fns))
	for i, f := range fns {
		raws[i] = f.Raw()
	}
	var out bytes.Buffer
	err = serve(bytes.NewReader(bytes.Join(frames, nil)), &out, io.Discard, raws)
	in := bufio.NewReader(&out)
	if _, helloErr := wire.ReadHello(in); helloErr != nil {
		return nil, err
	}
	for {
		kind, payload, readErr := wire.Read(in, nil)
		if readErr == io.EOF {
			return answers, err
		}
		if readErr != nil {
			t.Fatal(readErr)
		}
		if kind != wire.Records {
			answers = append(answers, fmt.Sprintf("%c%s", kind, payload))
		}
		for kind == wire.Records && len(payload) > 0 {
			var key, value []byte
			if key, value, payload, readErr = wire.CutRecord(payload); readErr != nil {
				t.Fatal(readErr)
			}
			answers = append(answers, fmt.Sprintf("%q=%q", key, value))
		}
	}
}

// opening is the beginning of a conversation.
func opening(t testing.TB, o wire.Open) [][]byte {
	t.Helper()
	f, err := wire.JSONFrame(wire.Opening, o)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{wire.HelloFrame(wire.Version), f}
}

func linesFrame(text string) []byte { return wire.Frame(wire.Lines, []byte(text)) }

var (
	flushFrame = wire.Frame(wire.Flush, nil)
	endFrame   = wire.Frame(wire.End, nil)
)

// keyLengths emits each line with its length as a value made by f.
func keyLengths[V any](f func(int) V, fold Fold[V]) MapReduce[string, V] {
	return MapReduce[string, V]{
		Map: func(line []byte, emit func(string, V)) error {
			emit(string(line), f(len(line)))
			return nil
		},
		Combine: fold,
	}
}

func TestMapsCombineOnTheirWayOut(t *testing.T) {
	lines := linesFrame("aa\nb\naa\naa\n")
	times := func(a, b int64) int64 { return a * b }
	int64s := func(n int) int64 { return int64(n) }
	ints := func(n int) int { return n }
	type point struct{ X int }
	for _, c := range []struct {
		name, combiner string
		function       Function
		want           []string
	}{
		{"no combiner", "", keyLengths(int64s, Sum[int64]()),
			[]string{`"aa"="\x04"`, `"b"="\x02"`, `"aa"="\x04"`, `"aa"="\x04"`}},
		{"sum", "sum", keyLengths(int64s, Sum[int64]()), []string{`"aa"="\f"`, `"b"="\x02"`}},
		{"another built-in", "max", keyLengths(ints, Sum[int]()), []string{`"aa"="\x04"`, `"b"="\x02"`}},
		{"own fold of int64", "go:main", keyLengths(int64s, FoldFunc(times)), []string{`"aa"="\x10"`, `"b"="\x02"`}},
		{"own fold of int", "go:main",
			keyLengths(ints, FoldFunc(func(a, b int) int { return a * b })),
			[]string{`"aa"="\x10"`, `"b"="\x02"`}},
		{"another's fold", "go:other", keyLengths(func(n int) int64 { return 1 }, FoldFunc(times)),
			[]string{`"aa"="\x02"`, `"b"="\x02"`, `"aa"="\x02"`, `"aa"="\x02"`}},
		{"bool", "go:main",
			keyLengths(func(n int) bool { return false }, FoldFunc(func(a, b bool) bool { return a || b })),
			[]string{`"aa"="\x00"`, `"b"="\x00"`}},
		{"struct", "go:main",
			keyLengths(func(n int) point { return point{n} }, FoldFunc(func(a, b point) point { return point{a.X + b.X} })),
			[]string{`"aa"="{\"X\":6}"`, `"b"="{\"X\":1}"`}},
		{"views must not wait", "go:main",
			keyLengths(func(n int) []byte { return []byte("v") }, FoldFunc(func(a, b []byte) []byte { return a })),
			[]string{`"aa"="v"`, `"b"="v"`, `"aa"="v"`, `"aa"="v"`}},
		{"a sum of bytes", "sum",
			keyLengths(func(n int) string { return "v" }, FoldFunc(func(a, b string) string { return a + b })),
			[]string{`"aa"="v"`, `"b"="v"`, `"aa"="v"`, `"aa"="v"`}},
	} {
		frames := append(opening(t, wire.Open{Role: wire.Map, Combiner: c.combiner}), lines, endFrame)
		got, err := talk(t, frames, c.function)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		records := got[1 : len(got)-1]
		if diff := cmp.Diff(counted(c.want), counted(records)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if want := fmt.Sprintf(`D{"in":4,"out":%d}`, len(c.want)); got[len(got)-1] != want {
			t.Errorf("%s: %s, want %s", c.name, got[len(got)-1], want)
		}
	}
}

// counted forgets the order, which a cache does not keep.
func counted(lines []string) map[string]int {
	n := map[string]int{}
	for _, l := range lines {
		n[l]++
	}
	return n
}

func TestWithoutReducerTheMapperPutsOutText(t *testing.T) {
	f := MapReduce[float64, struct{}]{Map: func(line []byte, emit func(float64, struct{})) error {
		emit(float64(len(line))/2, struct{}{})
		return nil
	}}
	got, err := talk(t, append(opening(t, wire.Open{Role: wire.Map}), linesFrame("abc\n"), endFrame), f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`A{"values":"bytes"}`, `"1.5"=""`, `D{"in":1,"out":1}`}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFoldWithoutReduceReadsItsKeys(t *testing.T) {
	f := MapReduce[int, float64]{
		Map:     func(line []byte, emit func(int, float64)) error { return nil },
		Combine: Min[float64](),
	}
	key, _ := KeyCodec[int]().Append(nil, 7)
	low, _ := ValueCodec[float64]().Append(nil, -0.5)
	high, _ := ValueCodec[float64]().Append(nil, 2)
	var b wire.Batch
	b.Reset(nil)
	b.Key(key)
	b.Value(high)
	b.Value(low)
	groups, err := b.Frame(wire.Groups)
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[wire.Role]string{wire.Reduce: `"7"="-0.5"`, wire.Combine: fmt.Sprintf("%q=%q", key, low)} {
		got, err := talk(t, append(opening(t, wire.Open{Role: role}), groups, endFrame), f)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{`A{"values":"bytes"}`, want, `D{"in":2,"out":1}`}, got); diff != "" {
			t.Errorf("%s: %s", role, diff)
		}
	}
}

func TestReduceStopsAtBadValues(t *testing.T) {
	f := MapReduce[string, int64]{
		Map: func(line []byte, emit func(string, int64)) error { return nil },
		Reduce: Reduce(func(key string, values iter.Seq[int64], emit func(string, int64)) error {
			for v := range values {
				emit(key, v)
			}
			return nil
		}),
	}
	groups := wire.Frame(wire.Groups, []byte("\x00\x01a\x02\x02\x01\x02\x04"))
	frames := append(opening(t, wire.Open{Role: wire.Reduce}), groups, endFrame)
	if _, err := talk(t, frames, f); !errors.Is(err, errs.Corrupt) {
		t.Errorf("%v", err)
	}
}

func TestTheExecutorsMistakesAreNoticed(t *testing.T) {
	f := keyLengths(func(n int) int64 { return 1 }, Sum[int64]())
	mapping, reducing := opening(t, wire.Open{Role: wire.Map}), opening(t, wire.Open{Role: wire.Reduce})
	groups := wire.Frame(wire.Groups, []byte("\x00\x01a\x02x"))
	for name, c := range map[string]struct {
		frames [][]byte
		kind   errs.Kind
	}{
		"nothing":         {nil, errs.Other},
		"no hello":        {mapping[1:], errs.Corrupt},
		"no opening":      {[][]byte{mapping[0], endFrame}, errs.Corrupt},
		"bad opening":     {[][]byte{mapping[0], wire.Frame(wire.Opening, []byte("{"))}, errs.Corrupt},
		"gone early":      {mapping, errs.Canceled},
		"cut off":         {append(mapping, []byte("L\x05")), errs.Corrupt},
		"unknown role":    {opening(t, wire.Open{Role: "shuffle"}), errs.Unsupported},
		"groups to map":   {append(mapping, groups), errs.Corrupt},
		"lines to reduce": {append(reducing, linesFrame("a\n")), errs.Corrupt},
		"answers":         {append(mapping, wire.Frame(wire.Finished, nil)), errs.Corrupt},
		"value first":     {append(reducing, wire.Frame(wire.Groups, []byte("\x02x"))), errs.Corrupt},
		"bad records":     {append(mapping, wire.Frame(wire.Records, []byte("\x09x"))), errs.Corrupt},
	} {
		if _, err := talk(t, c.frames, f); err == nil || errs.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

func TestFlushThenMore(t *testing.T) {
	f := keyLengths(func(n int) int64 { return 1 }, Sum[int64]())
	frames := append(opening(t, wire.Open{Role: wire.Map, Combiner: "sum"}),
		linesFrame("a\na"), flushFrame, linesFrame("a\n"), flushFrame, flushFrame, endFrame)
	got, err := talk(t, frames, f)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`A{"values":"int64"}`, `"a"="\x04"`, "F", `"a"="\x02"`, "F", "F", `D{"in":3,"out":2}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// attempt is a raw function that uses all abilities.
type attempt struct {
	env  Env
	said []string
}

func (a *attempt) Setup(env Env) error { a.env = env; return nil }
func (a *attempt) Map(in Record, _ Emitter) error {
	a.said = append(a.said, string(in.Value))
	return nil
}
func (a *attempt) Cleanup(out Emitter) error { return out.Emit([]byte(strings.Join(a.said, "+")), nil) }
func (a *attempt) Close() error              { a.env.Count("attempt", "closed", 1); return nil }

func TestLifeOfARawFunction(t *testing.T) {
	f := Raw{Mapper: func() Mapper { return &attempt{} }}
	got, err := talk(t, append(opening(t, wire.Open{Role: wire.Map}), linesFrame("a\nb\n"), endFrame), f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`A{"values":"bytes"}`, `"a+b"=""`, `D{"in":2,"out":1}`}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDescribeRefusesWhatNobodyCouldRun(t *testing.T) {
	ok := keyLengths(func(n int) int64 { return 1 }, Sum[int64]()).Raw()
	for want, fns := range map[string][]Raw{
		"there are no functions":             nil,
		`function "main" has nothing`:        {{}},
		`two functions have the name "main"`: {ok, ok},
	} {
		if _, err := describe(fns); !errors.Is(err, errs.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	pkg, err := describe([]Raw{ok})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pkg.Find(""); err != nil {
		t.Error(err)
	}
	if _, err := pkg.Find("mein"); err == nil || !strings.Contains(err.Error(), `did you mean "main"?`) {
		t.Error(err)
	}
	pkg.Functions = append(pkg.Functions, Description{Name: "other"})
	if _, err := pkg.Find(""); err == nil || !strings.Contains(err.Error(), "say which function; there is main, other") {
		t.Error(err)
	}
}

func TestCacheLosesNothing(t *testing.T) {
	got := map[string]int64{}
	c := newFoldCache(Sum[int64]().fold, func(key []byte, v int64) error {
		got[string(key)] += v
		return nil
	})
	want := map[string]int64{}
	long := strings.Repeat("x", cacheKey+1)
	for i := range int64(3 * cacheSlots) {
		for _, key := range []string{fmt.Sprint(i), fmt.Sprint(i % 10), "", long} {
			want[key] += i
			if err := c.add([]byte(key), i); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // the second time there is nothing left
		if err := c.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzServe(f *testing.F) {
	fn := keyLengths(func(n int) int64 { return 1 }, Sum[int64]())
	for _, role := range []wire.Role{wire.Map, wire.Combine, wire.Reduce} {
		f.Add(string(role), append(append(linesFrame("a\nb"), flushFrame...), endFrame...))
		groups, more := []byte("\x00\x01a\x02\x02"), []byte("\x02\x04\x00\x01b")
		f.Add(string(role), append(wire.Frame(wire.Groups, groups), wire.Frame(wire.Groups, more)...))
		f.Add(string(role), wire.Frame(wire.Records, []byte("\x04the\x02\x02")))
	}
	f.Fuzz(func(t *testing.T, role string, frames []byte) {
		_, err := talk(t, append(opening(t, wire.Open{Role: wire.Role(role), Combiner: "sum"}), frames), fn)
		var p *Panic
		if errors.As(err, &p) {
			t.Errorf("%v\n%s", err, p.Stack)
		}
	})
}
