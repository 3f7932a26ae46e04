package streaming

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// records is an Emitter that writes each record as KEY=VALUE; a nil value as KEY.
type records struct{ bytes.Buffer }

func (r *records) Emit(key, value []byte) error {
	if value == nil {
		fmt.Fprintf(r, "%s;", key)
		return nil
	}
	fmt.Fprintf(r, "%s=%s;", key, value)
	return nil
}

// lines is an Emitter that takes lines.
type lines struct{ records }

func (l *lines) EmitLines(run []byte) error { l.Write(run); return nil }

// refusing is an Emitter that wants nothing.
type refusing struct{ err error }

func (r refusing) Emit(_, _ []byte) error { return r.err }

// env notes what it is told.
type env struct{ told []string }

func (e *env) Param(string) (string, bool) { return "", false }
func (e *env) Count(group, name string, n int64) {
	e.told = append(e.told, fmt.Sprintf("count %s|%s|%d", group, name, n))
}
func (e *env) Status(line string)              { e.told = append(e.told, "status "+line) }
func (e *env) Logf(format string, args ...any) { e.told = append(e.told, fmt.Sprintf(format, args...)) }
func (e *env) Attempt() string                 { return "map-0.0" }

func mapper(t *testing.T, o Options) *Mapper {
	t.Helper()
	m, err := NewMapper(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestMapper(t *testing.T) {
	for _, c := range []struct{ name, command, in, want, params string }{
		{"as it is", "cat", "a b\nc\td\te\n\n", "a b;c=d\te;;", ""},
		{"ends of lines", "cat", "a\r\nb", "a;b;", ""},
		{"no last newline", "printf 'x\ty'", "", "x=y;", ""},
		{"nothing in", "wc -l | tr -d ' '", "", "0;", ""},
		{"a pipe", "grep a | tr a b", "xa\ny\na\n", "xb;b;", ""},
		{"stops reading", "head -n 1", "a\nb\n", "a;", ""},
		{"separator", "cat", "a.b.c\nd\n", "a=b.c;d;", "stream.map.output.field.separator=."},
		{"key fields", "cat", "a\tb\tc\td\ne\tf\n", "a\tb=c\td;e\tf;", "stream.num.map.output.key.fields=2"},
		{"any exit", "cat; exit 3", "a\n", "a;", "stream.non.zero.exit.is.failure=false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Command: c.command, Params: functions.Params{}}
			if k, v, ok := strings.Cut(c.params, "="); ok {
				o.Params[k] = v
			}
			m := mapper(t, o)
			var out records
			if _, err := m.MapBatch([]byte(c.in), &out); err != nil {
				t.Fatal(err)
			}
			if err := m.Cleanup(&out); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("%q, want %q", out.String(), c.want)
			}
		})
	}
}

// TestMuch sends more than any pipe or queue holds, both ways at once, by lines and by records.
func TestMuch(t *testing.T) {
	var in bytes.Buffer
	for i := range 400_000 {
		fmt.Fprintf(&in, "%d is a line\n", i)
	}
	m := mapper(t, Options{Command: "cat"})
	var out lines
	for range 3 {
		if n, err := m.MapBatch(in.Bytes(), &out); err != nil || n != 400_000 {
			t.Fatal(n, err)
		}
	}
	if err := m.Cleanup(&out); err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat(in.Bytes(), 3); !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%d bytes came back of %d, or others", out.Len(), len(want))
	}
	byRecord := mapper(t, Options{Command: "cat"})
	out.Reset()
	for line := range functions.Lines(in.Bytes()) {
		if err := byRecord.Map(functions.Record{Value: line}, &out); err != nil {
			t.Fatal(err)
		}
	}
	if err := byRecord.Cleanup(&out); err != nil || !bytes.Equal(out.Bytes(), in.Bytes()) {
		t.Error("records differ", err)
	}
}

func TestKeyedInput(t *testing.T) {
	for ignore, want := range map[string]string{"": "k=v;", "true": "v;"} {
		m := mapper(t, Options{Command: "cat", Params: functions.Params{"stream.map.input.ignoreKey": ignore}})
		var out records
		if err := m.Map(functions.Record{Key: []byte("k"), Value: []byte("v")}, &out); err != nil {
			t.Fatal(err)
		}
		if err := m.Cleanup(&out); err != nil || out.String() != want {
			t.Errorf("ignoring %q: %q %v", ignore, out.String(), err)
		}
	}
}

// TestFiles tells a program which file it reads: it runs once for each.
func TestFiles(t *testing.T) {
	m := mapper(t, Options{Command: `awk '{print ENVIRON["mapreduce_map_input_file"] "+" $0} END {print "end"}'`})
	var out records
	for i, file := range []string{"a", "a", "b"} {
		if err := m.File(functions.FilePiece{URI: file, Offset: int64(i)}, &out); err != nil {
			t.Fatal(err)
		}
		if _, err := m.MapBatch([]byte("line\n"), &out); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Cleanup(&out); err != nil || out.String() != "a+line;a+line;end;b+line;end;" {
		t.Error(out.String(), err)
	}
}

func TestMessages(t *testing.T) {
	var log bytes.Buffer
	m := mapper(t, Options{Stderr: &log, Command: `
		echo reporter:counter:My Group,bad lines,3 >&2
		echo reporter:status: half way >&2
		echo reporter:counter:nonsense >&2
		echo just a line >&2`})
	e := &env{}
	if err := m.Setup(e); err != nil {
		t.Fatal(err)
	}
	if err := m.Cleanup(&records{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(e.told, ";"); got != "count My Group|bad lines|3;status half way" {
		t.Error(got)
	}
	if log.String() != "reporter:counter:nonsense\njust a line\n" {
		t.Errorf("log %q", log.String())
	}
}

func TestCrash(t *testing.T) {
	for command, want := range map[string]string{
		"echo a >&2; echo reporter:status:x >&2; echo 'KeyError: user_id' >&2; exit 7": "exited with status 7",
		"exit 1":                         "exited with status 1",
		"kill -9 $$":                     "killed by signal killed",
		"no-such-program-anywhere --run": "not found",
	} {
		m := mapper(t, Options{Command: command})
		_, err := m.MapBatch([]byte("x\n"), &records{})
		if err == nil {
			err = m.Cleanup(&records{})
		}
		if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", command, err)
			continue
		}
		if strings.Contains(command, "KeyError") &&
			!strings.Contains(err.Error(), "said:\n    a\n    KeyError: user_id") {
			t.Error("the last lines are not told, or messages are:", err)
		}
		if again := m.Cleanup(&records{}); !errors.Is(again, errs.Failed) {
			t.Error("forgotten:", again)
		}
	}
}

// TestRefused ends a program that never would, when nobody wants its records.
func TestRefused(t *testing.T) {
	m := mapper(t, Options{Command: "yes"})
	full := errors.New("full")
	_, err := m.MapBatch([]byte("x\n"), refusing{full})
	if err == nil {
		err = m.Cleanup(refusing{full})
	}
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	m, err := NewMapper(ctx, Options{Command: "cat; sleep 1000"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.MapBatch([]byte("x\n"), &records{}); err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	cancel(why)
	if err := m.Cleanup(&records{}); !errors.Is(err, errs.Canceled) || !errors.Is(err, why) {
		t.Error(err)
	}
}

// TestAbandoned closes a program in the middle.
func TestAbandoned(t *testing.T) {
	m := mapper(t, Options{Command: "cat; sleep 1000"})
	if _, err := m.MapBatch([]byte("x\n"), &records{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// values is a list as functions.Values.
type values struct {
	list [][]byte
	at   int
}

func (v *values) Next() bool    { v.at++; return v.at <= len(v.list) }
func (v *values) Value() []byte { return v.list[v.at-1] }

func ints(n ...int64) *values {
	v := &values{}
	for _, x := range n {
		v.list = append(v.list, binary.AppendVarint(nil, x))
	}
	return v
}

const sum = `awk -F'\t' '{n[$1] += $2} END {for (k in n) print k "\t" n[k]}' | sort`

func TestReducer(t *testing.T) {
	r, err := NewReducer(t.Context(), Options{Command: sum, Values: functions.ValueInt64})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out records
	for _, key := range []string{"a", "b"} {
		if err := r.Reduce([]byte(key), ints(1, -5, 300), &out); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Cleanup(&out); err != nil || out.String() != "a=296;b=296;" {
		t.Error(out.String(), err)
	}
}

// TestCombiner runs a combiner twice, over numbers: it must give back numbers.
func TestCombiner(t *testing.T) {
	c, err := NewCombiner(t.Context(), Options{Command: sum, Values: functions.ValueInt64})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		var out records
		if err := c.Reduce([]byte("k"), ints(3, 4), &out); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(&out); err != nil || out.String() != "k="+string(binary.AppendVarint(nil, 7))+";" {
			t.Errorf("%q %v", out.String(), err)
		}
	}
	if err := c.Cleanup(&records{}); err != nil || c.run != nil {
		t.Error(err)
	}
	bad, err := NewCombiner(t.Context(), Options{Command: "cat | sed s/7/seven/", Values: functions.ValueInt64})
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	err = bad.Reduce([]byte("k"), ints(7), &records{})
	if err == nil {
		err = bad.Cleanup(&records{})
	}
	if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), "seven") {
		t.Error(err)
	}
}

func TestWrongParams(t *testing.T) {
	params := functions.Params{"stream.num.map.output.key.fields": "0"}
	_, err := NewMapper(t.Context(), Options{Command: "cat", Params: params})
	if errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}

// outputsEnv is an env with named outputs.
type outputsEnv struct {
	env
	out map[string]*records
}

func (e *outputsEnv) EmitTo(name string, key, value []byte) error {
	if e.out[name] == nil {
		e.out[name] = &records{}
	}
	return e.out[name].Emit(key, value)
}

// TestNamedOutputs: what a program writes to the files of its named outputs goes there, in every form, in each of its
// lives, also a last line without an end, and while it writes more than pipes hold to all of them.
func TestNamedOutputs(t *testing.T) {
	const program = `while read -r line; do
		case $line in
		a*) echo "$line" ;;
		b*) echo "$line" >> "$mapreduce_multipleoutputs_bad" ;;
		*) echo "$line" >&4 ;;
		esac
	done; printf end >&3`
	e := &outputsEnv{out: map[string]*records{}}
	m := mapper(t, Options{Command: program, Outputs: []string{"bad", "other"}})
	var out records
	if err := m.Setup(e); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"one", "two"} {
		if err := m.File(functions.FilePiece{URI: file}, &out); err != nil {
			t.Fatal(err)
		}
		if _, err := m.MapBatch([]byte("a\t1\nb\t2\nc\n"), &out); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Cleanup(&out); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s|%s|%s", out.String(), e.out["bad"], e.out["other"])
	if want := "a=1;a=1;|b=2;end;b=2;end;|c;c;"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	const much = 3_000_000 // lines of 1,000 bytes
	e = &outputsEnv{out: map[string]*records{}}
	r, err := NewReducer(t.Context(), Options{
		Command: fmt.Sprintf(`yes %0999[1]d | head -c %[2]d >&3 & yes %0999[1]d | head -c %[2]d; wait`, 1, much),
		Outputs: []string{"x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out.Reset()
	if err := errors.Join(r.Setup(e), r.Cleanup(&out)); err != nil {
		t.Fatal(err)
	}
	if out.Len() != much || e.out["x"].Len() != much {
		t.Errorf("%d and %d bytes of %d", out.Len(), e.out["x"].Len(), much)
	}
}

// TestNamedOutputsBinary: named outputs have the form of standard output.
func TestNamedOutputsBinary(t *testing.T) {
	e := &outputsEnv{out: map[string]*records{}}
	m := mapper(t, Options{
		Command: `cat >&3; printf '\0\0' >&4`, Outputs: []string{"copy", "half"},
		Params: functions.Params{"stream.map.input": "rawbytes", "stream.map.output": "rawbytes"},
	})
	var out records
	err := errors.Join(m.Setup(e), m.Map(functions.Record{Key: []byte("k\n"), Value: []byte("v\t")}, &out))
	if err != nil {
		t.Fatal(err)
	}
	err = m.Cleanup(&out)
	if errs.KindOf(err) != errs.Failed || !strings.Contains(fmt.Sprint(err), "it ended within a record") {
		t.Error(err)
	}
	if got := e.out["copy"].String(); got != "k\n=v\t;" || out.Len() > 0 {
		t.Errorf("got %q, and %q", got, out.String())
	}
}

// TestNamedOutputFails: what the job does not take ends the program.
func TestNamedOutputFails(t *testing.T) {
	m := mapper(t, Options{Command: `yes >&3`, Outputs: []string{"x"}})
	if err := m.Setup(&env{}); err != nil { // it has no outputs
		t.Fatal(err)
	}
	if err := m.Cleanup(&records{}); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}
