package child_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/child"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// collector is an Emitter and Env that remembers. Records read "key=value", absent parts as "-".
type collector struct {
	records  []string
	sums     map[string]int64 // of int64 records
	counters map[string]int64
	status   []string
	named    []string // records of named outputs
}

func (c *collector) EmitTo(output string, key, value []byte) error {
	c.named = append(c.named, output+":"+text(key)+"="+text(value))
	return nil
}

func newCollector() *collector {
	return &collector{sums: map[string]int64{}, counters: map[string]int64{}}
}

func (c *collector) Emit(key, value []byte) error {
	c.records = append(c.records, text(key)+"="+text(value))
	return nil
}

func text(b []byte) string {
	if b == nil {
		return "-"
	}
	return string(b)
}

func (c *collector) EmitInt64(key []byte, value int64) error {
	if cap(key) < len(key)+8 {
		return fmt.Errorf("key %q has no spare capacity", key)
	}
	c.sums[string(key)] += value
	return nil
}

func (c *collector) Param(string) (string, bool)           { return "", false }
func (c *collector) Count(group, name string, delta int64) { c.counters[group+"."+name] += delta }
func (c *collector) Status(line string)                    { c.status = append(c.status, line) }
func (c *collector) Logf(format string, args ...any)       {}
func (c *collector) Attempt() string                       { return "" }

// run makes text a run of lines as engines pass it.
func run(text string) []byte { return append([]byte(text), "12345678"...)[:len(text)] }

func newMapper(t *testing.T, function string, task child.Task) *child.Mapper {
	t.Helper()
	task.Function = function
	m, err := child.NewMapper(t.Context(), command("functions"), task)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, m.Close()) })
	return m
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestMapLines(t *testing.T) {
	for _, combiner := range []functions.Ref{{}, {Builtin: "sum"}} {
		for _, function := range []string{"wordcount", "raw"} {
			m := newMapper(t, function, child.Task{Combiner: combiner})
			if m.ValueKind() != functions.ValueInt64 {
				t.Errorf("values are %v", m.ValueKind())
			}
			out := newCollector()
			n, err := m.MapBatch(run("a b a\nb\r\n\n"), out)
			check(t, err)
			if n != 3 {
				t.Errorf("%d lines, want 3", n)
			}
			for _, unfinished := range []string{"c a", "d", "d\n"} { // a file ends without an end of line, the next begins
				_, err = m.MapBatch(run(unfinished), out)
				check(t, err)
			}
			check(t, m.Cleanup(out))
			if diff := cmp.Diff(map[string]int64{"a": 3, "b": 2, "c": 1, "d": 2}, out.sums); diff != "" {
				t.Errorf("%s (-want +got):\n%s", function, diff)
			}
		}
	}
}

func TestMapRecordsKeepsWhatIsAbsent(t *testing.T) {
	m := newMapper(t, "keyed", child.Task{})
	out := newCollector()
	for _, r := range []functions.Record{
		{Key: []byte("a"), Value: []byte("b")}, {Value: []byte("b")}, {Key: []byte("a")},
		{}, {Key: []byte{}, Value: []byte{}},
	} {
		check(t, m.Map(r, out))
	}
	check(t, m.Cleanup(out))
	if diff := cmp.Diff([]string{"a=b", "-=b", "a=-", "-=-", "="}, out.records); diff != "" {
		t.Error(diff)
	}
}

// list is Values of a list.
type list struct {
	values [][]byte
	now    []byte
}

func values(texts ...string) *list {
	l := &list{}
	for _, t := range texts {
		l.values = append(l.values, []byte(t))
	}
	return l
}

func (l *list) Next() bool {
	if len(l.values) == 0 {
		return false
	}
	l.now, l.values = l.values[0], l.values[1:]
	return true
}

func (l *list) Value() []byte { return l.now }

type starter func(context.Context, child.Command, child.Task) (*child.Reducer, error)

func newReducer(t *testing.T, function string, start starter) *child.Reducer {
	t.Helper()
	r, err := start(t.Context(), command("functions"), child.Task{Function: function})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, r.Close()) })
	return r
}

func TestReduceGroups(t *testing.T) {
	r := newReducer(t, "keyed", child.NewReducer)
	out := newCollector()
	check(t, r.Reduce([]byte("a"), values("1", "", "3"), out))
	check(t, r.Reduce([]byte(""), values(), out))
	check(t, r.Reduce([]byte("b"), values(), out))
	check(t, r.Reduce([]byte("b"), values("4"), out))
	check(t, r.Cleanup(out))
	if diff := cmp.Diff([]string{"a=1", "a=", "a=3", "b=4"}, out.records); diff != "" {
		t.Error(diff)
	}
}

func TestReduceTyped(t *testing.T) {
	r := newReducer(t, "mean", child.NewReducer)
	keys, floats := functions.KeyCodec[int64](), functions.ValueCodec[float64]()
	encode := func(v float64) string { b, _ := floats.Append(nil, v); return string(b) }
	key, _ := keys.Append(nil, -7)
	out := newCollector()
	check(t, r.Reduce(key, values(encode(1), encode(2), encode(6)), out))
	check(t, r.Cleanup(out))
	if diff := cmp.Diff([]string{"-7=3"}, out.records); diff != "" {
		t.Error(diff)
	}
}

func TestReduceSkipsValuesThatNobodyWants(t *testing.T) {
	r := newReducer(t, "lazy", child.NewReducer)
	out := newCollector()
	many := &list{}
	for range 3 {
		many.values = append(many.values, bytes.Repeat([]byte("x"), wire.FrameSize))
	}
	many.values[0] = []byte("first")
	check(t, r.Reduce([]byte("a"), many, out))
	check(t, r.Reduce([]byte("b"), values("1", "2"), out))
	check(t, r.Cleanup(out))
	if diff := cmp.Diff([]string{"a=first", "b=1"}, out.records); diff != "" {
		t.Error(diff)
	}
}

func TestFlushPutsOutAllThatCameBefore(t *testing.T) {
	c := newReducer(t, "keyed", child.NewCombiner)
	for i := range 3 {
		out := newCollector() // another one for each run of keys, as for each partition of a spill
		key := fmt.Sprint("key", i)
		check(t, c.Reduce([]byte(key), values("1", "2"), out))
		check(t, c.Flush(out))
		if diff := cmp.Diff([]string{key + "=1", key + "=2"}, out.records); diff != "" {
			t.Error(diff)
		}
	}
	m := newMapper(t, "wordcount", child.Task{Combiner: functions.Ref{Builtin: "sum"}})
	out := newCollector()
	_, err := m.MapBatch(run("a a b"), out)
	check(t, err)
	check(t, m.Flush(out))
	if diff := cmp.Diff(map[string]int64{"a": 2, "b": 1}, out.sums); diff != "" {
		t.Error(diff)
	}
}

func TestGreatAmountsDoNotBlock(t *testing.T) {
	m := newMapper(t, "upper", child.Task{})
	in := run(strings.Repeat("0123456789abcde\n", 4*wire.FrameSize/16))
	out := newCollector()
	for range 2 {
		_, err := m.MapBatch(in, out)
		check(t, err)
	}
	check(t, m.Cleanup(out))
	if got, want := len(out.records), 2*20*len(in)/16; got != want {
		t.Errorf("%d records, want %d", got, want)
	}
	if slices.ContainsFunc(out.records, func(r string) bool { return r != "0123456789ABCDE=" }) {
		t.Error("a record is damaged")
	}
}

func TestHugeRecord(t *testing.T) {
	const size = 64 << 20
	line := bytes.Repeat([]byte("x"), size)
	m := newMapper(t, "fails", child.Task{})
	out := newCollector()
	n, err := m.MapBatch(append(append([]byte("a\n"), line...), "\nb\n"...), out)
	check(t, err)
	if n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
	check(t, m.Cleanup(out))
	if len(out.records) != 3 || len(out.records[1]) != size+1 || out.records[2] != "b=" {
		t.Errorf("%d records", len(out.records))
	}

	r := newReducer(t, "keyed", child.NewReducer)
	out = newCollector()
	check(t, r.Reduce([]byte("a"), &list{values: [][]byte{line}}, out))
	check(t, r.Cleanup(out))
	if len(out.records) != 1 || len(out.records[0]) != size+2 {
		t.Errorf("%d records", len(out.records))
	}
}

func TestChildHasItsSay(t *testing.T) {
	var log bytes.Buffer
	cmd := command("functions")
	cmd.Stderr = &log
	m, err := child.NewMapper(t.Context(), cmd, child.Task{
		Function: "talks", Attempt: "map-3.1", Params: functions.Params{"given": "g", "other": "o"},
	})
	if err != nil {
		t.Fatal(err)
	}
	out := newCollector()
	check(t, m.Setup(out))
	_, err = m.MapBatch(run("a\nb\n"), out)
	check(t, err)
	check(t, m.Cleanup(out))
	check(t, m.Close())
	if diff := cmp.Diff([]string{"gd=true 0 EOF", "gd=true 0 EOF"}, out.records); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"talks.lines": 2}, out.counters); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"set up map-3.1"}, out.status); diff != "" {
		t.Error(diff)
	}
	want := "printed in setup\nprinted: a\nlogged: a\nprinted: b\nlogged: b\n"
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Error(diff)
	}
}

func TestEmitterErrorsComeBackAsTheyAre(t *testing.T) {
	m := newMapper(t, "fails", child.Task{})
	full := errs.E("spill.Write", errs.Exhausted, nil, nil)
	if err := outcome(m, "a\n", refuses{full}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type refuses struct{ err error }

func (r refuses) Emit(_, _ []byte) error { return r.err }

func TestCloseEndsAChildInTheMiddle(t *testing.T) {
	m := newMapper(t, "wordcount", child.Task{})
	_, err := m.MapBatch(run("a b"), newCollector())
	check(t, err)
	check(t, m.Close())
	check(t, m.Close())
}

func TestMistakesAreInvalid(t *testing.T) {
	for _, c := range []struct {
		task  child.Task
		start func(child.Task) error
		want  string
	}{
		{child.Task{Function: "wordcuont"}, startMapper, `there is no function "wordcuont"; did you mean "wordcount"?`},
		{child.Task{Function: "talks"}, startMapper, `parameter "given" is missing`},
		{child.Task{Function: "raw"}, startCombiner, `function "raw" cannot combine`},
	} {
		if err := c.start(c.task); !errors.Is(err, errs.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	_, err := child.NewMapper(t.Context(), child.Command{Argv: []string{"./absent"}}, child.Task{})
	if !errors.Is(err, errs.NotFound) {
		t.Errorf("%v", err)
	}
	if _, err := child.NewMapper(t.Context(), child.Command{}, child.Task{}); !errors.Is(err, errs.Invalid) {
		t.Errorf("%v", err)
	}
}

func startMapper(task child.Task) error {
	_, err := child.NewMapper(context.Background(), command("functions"), task)
	return err
}

func startCombiner(task child.Task) error {
	_, err := child.NewCombiner(context.Background(), command("functions"), task)
	return err
}

func TestDescribe(t *testing.T) {
	pkg, err := child.Describe(t.Context(), command("functions"))
	if err != nil {
		t.Fatal(err)
	}
	sum, max := functions.Ref{Builtin: "sum"}, functions.Ref{Builtin: "max"}
	want := map[string]functions.Description{
		"wordcount": {Doc: "counts words", Values: "int64", Combiner: sum, Reducer: sum},
		"raw":       {Values: "int64"},
		"longest":   {Values: "int64", Combiner: max, Reducer: max},
		"mean": {Values: "bytes", Reducer: functions.Ref{Go: "mean"},
			Params: []functions.Param{{Name: "scale", Doc: "divides", Default: "1"}}},
	}
	for name, w := range want {
		w.Name, w.Mapper = name, functions.Ref{Go: name}
		got, err := pkg.Find(name)
		check(t, err)
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if pkg.Protocol != wire.Version {
		t.Errorf("protocol %d", pkg.Protocol)
	}
	for _, program := range []string{"garbage", "exit", "quits", "describe"} {
		if _, err := child.Describe(t.Context(), command(program)); !errors.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", program, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := child.Describe(ctx, command("deaf")); !errors.Is(err, errs.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestStartedByHandSaysHowToUseIt(t *testing.T) {
	cmd := command("functions")
	var said strings.Builder
	c := exec.CommandContext(t.Context(), cmd.Argv[0])
	c.Env, c.Stderr = cmd.Env, &said
	var exit *exec.ExitError
	if err := c.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("%v, want exit status 2", err)
	}
	for _, want := range []string{
		"runner run " + cmd.Argv[0], "--input FILES --output FOLDER", "counts words", "--set given=...  x (required)",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, said.String())
		}
	}
}

// TestNamedOutputs lets more records than fit a frame go to named outputs, absent parts among them.
func TestNamedOutputs(t *testing.T) {
	out := newCollector()
	m := newMapper(t, "names", child.Task{})
	check(t, m.Setup(out))
	line := strings.Repeat("x", 1000)
	for range 600 {
		if _, err := m.MapBatch(run(line+"\n"), out); err != nil {
			t.Fatal(err)
		}
	}
	check(t, m.Cleanup(out))
	if len(out.named) != 1200 || out.named[0] != "long:"+line+"=-" || out.named[1] != "count:-=1000" ||
		len(out.records) != 0 {
		t.Errorf("%d named records, %d others", len(out.named), len(out.records))
	}
}
