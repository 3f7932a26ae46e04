package guagua_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/guaguatest"
	"github.com/seed3322913c/runner/infra/errs"
)

// spy writes down which of its hooks ran.
type spy struct {
	name string
	log  *[]string
	fail string
}

func (s spy) note(hook string) error {
	*s.log = append(*s.log, hook+" "+s.name)
	if s.fail == hook {
		return errors.New(hook + " of " + s.name)
	}
	return nil
}

func (s spy) PreApplication(context.Context, *guagua.Env) error         { return s.note("start") }
func (s spy) PreIteration(context.Context, *guagua.Step) error          { return s.note("enter") }
func (s spy) PostIteration(context.Context, *guagua.Step) error         { return s.note("leave") }
func (s spy) PostApplication(context.Context, *guagua.Env, error) error { return s.note("stop") }

func TestInterceptorsUnwindInReverse(t *testing.T) {
	for _, c := range []struct{ fail, failing, want string }{
		{"", "", "start a, start b, start c, enter a, enter b, enter c, leave c, leave b, leave a, stop c, stop b, stop a"},
		{"start", "b", "start a, start b, stop a"},
		{"enter", "b", "start a, start b, start c, enter a, enter b, stop c, stop b, stop a"},
		{"leave", "b", "start a, start b, start c, enter a, enter b, enter c, leave c, leave b, stop c, stop b, stop a"},
		{"stop", "c", "start a, start b, start c, enter a, enter b, enter c, leave c, leave b, leave a, " +
			"stop c, stop b, stop a"},
	} {
		var log []string
		var list []guagua.Interceptor
		for _, name := range []string{"a", "b", "c"} {
			s := spy{name: name, log: &log}
			if name == c.failing {
				s.fail = c.fail
			}
			list = append(list, s)
		}
		chain, env := guagua.NewChain(list...), &guagua.Env{}
		step := &guagua.Step{Env: env, Iteration: 1}
		err := chain.Start(t.Context(), env)
		if err == nil {
			err = chain.Enter(t.Context(), step)
		}
		if err == nil {
			err = chain.Leave(t.Context(), step)
		}
		err = errors.Join(err, chain.Stop(t.Context(), env, err))
		if got := strings.Join(log, ", "); got != c.want {
			t.Errorf("%s of %s fails:\n got %s\nwant %s", c.fail, c.failing, got, c.want)
		}
		if (err != nil) != (c.fail != "") {
			t.Errorf("%s of %s fails: error %v", c.fail, c.failing, err)
		}
	}
}

func TestBuiltInInterceptors(t *testing.T) {
	var lines []string
	told := map[string]float64{}
	counters := map[string]int64{}
	now := time.Unix(0, 0)
	tell := func(_ *guagua.Step, name string, v float64) { told[name] = v }
	logf := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	env := &guagua.Env{Worker: 2, Workers: 3, Total: 7, Logf: logf}
	chain := guagua.NewChain(
		guagua.Timer(func() time.Time { now = now.Add(time.Second); return now }, tell),
		guagua.Memory(tell), guagua.Trace(),
		guagua.Metrics(func(group, name string, d int64) { counters[group+"/"+name] += d }))
	if err := chain.Start(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		s := &guagua.Step{Env: env, Iteration: i + 1, Missing: []int{4}}
		if err := errors.Join(chain.Enter(t.Context(), s), chain.Leave(t.Context(), s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := chain.Stop(t.Context(), env, errors.New("a wall")); err != nil {
		t.Fatal(err)
	}
	if told["seconds"] != 1 || told["memory"] < 1<<16 || counters["Guagua/WORKER_ITERATIONS"] != 2 {
		t.Errorf("told %v, counted %v", told, counters)
	}
	want := []string{"worker 2: begins, 3 workers, 7 iterations", "worker 2: iteration 1 of 7 begins",
		"worker 2: iteration 1 of 7 done, missing [4]", "worker 2: iteration 2 of 7 begins",
		"worker 2: iteration 2 of 7 done, missing [4]", "worker 2: ends: a wall"}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
}

func TestParams(t *testing.T) {
	p := guagua.Params{"iterations": "7", "rate": "0.5", "mode": "fast", "lerning": "1", "on": "true"}
	r := p.Reader()
	if r.Int("iterations", 1, 1, 100) != 7 || r.Float("rate", 1, 0, 1) != 0.5 || r.Float("l2", 0.25, 0, 1) != 0.25 ||
		r.OneOf("mode", "slow", "fast") != "fast" || !r.Bool("on", false) {
		t.Error("values were read wrong")
	}
	r.Float("learning", 0.1, 0, math.Inf(1))
	err := r.Err()
	if err == nil || !strings.Contains(err.Error(), `unknown parameter "lerning"; did you mean "learning"?`) {
		t.Error(err)
	}
	for _, bad := range []guagua.Params{{"k": "0"}, {"k": "x"}, {"k": "1.5"}, {"f": "NaN"}, {"f": "-1"}, {"m": "z"}} {
		r := bad.Reader()
		r.Int("k", 1, 1, 9)
		r.Float("f", 1, 0, 9)
		r.OneOf("m", "a", "b")
		if err := r.Err(); !errors.Is(err, errs.Invalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestCodecs(t *testing.T) {
	v := []float64{1.5, math.Inf(-1), math.Copysign(0, -1), 5e-324}
	data, _ := guagua.Floats{}.Append([]byte("x"), v)
	back, err := guagua.Floats{}.Decode(data[1:]) // at an odd address
	if err != nil || !slices.Equal(back, v) {
		t.Errorf("floats: %v %v", back, err)
	}
	if _, err := (guagua.Floats{}).Decode(data); !errors.Is(err, errs.Corrupt) {
		t.Errorf("33 bytes: %v", err)
	}
	raw, err := guagua.Bytes{}.Append([]byte("x"), []byte{0, 1})
	if same, err2 := (guagua.Bytes{}).Decode(raw); err != nil || err2 != nil || string(same) != "x\x00\x01" {
		t.Errorf("bytes: %q %v %v", same, err, err2)
	}
	type point struct {
		X, Y float64
		Name string
	}
	p := point{0.1, math.MaxFloat64, "p"}
	data, err = guagua.JSON[point]{}.Append(nil, p)
	if q, err2 := (guagua.JSON[point]{}).Decode(data); err != nil || err2 != nil || q != p {
		t.Errorf("json: %v %v %v", q, err, err2)
	}
	if _, err := (guagua.JSON[point]{}).Append(nil, point{X: math.NaN()}); !errors.Is(err, errs.Failed) {
		t.Errorf("json of NaN: %v", err)
	}
	when := time.Unix(5, 6).UTC()
	data, err = guagua.Binary[time.Time, *time.Time]{}.Append(nil, when)
	back2, err2 := (guagua.Binary[time.Time, *time.Time]{}).Decode(data)
	if err != nil || err2 != nil || !back2.Equal(when) {
		t.Errorf("binary: %v %v %v", back2, err, err2)
	}
	data, _ = guagua.Int64{}.Append(nil, -3)
	if n, err := (guagua.Int64{}).Decode(data); n != -3 || err != nil {
		t.Errorf("int64: %d %v", n, err)
	}
	data, _ = guagua.Float64{}.Append(nil, -0.5)
	if n, err := (guagua.Float64{}).Decode(data); n != -0.5 || err != nil {
		t.Errorf("float64: %g %v", n, err)
	}
}

// FuzzCodecs: whatever arrives, a codec refuses it or gives it back as it was.
func FuzzCodecs(f *testing.F) {
	f.Add([]byte{})
	f.Add(binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN())))
	f.Add([]byte(`{"A":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := (guagua.Floats{}).Decode(data); err == nil {
			if back, _ := (guagua.Floats{}).Append(nil, v); !bytes.Equal(back, data) {
				t.Errorf("floats: %x became %x", data, back)
			}
		}
		if v, err := (guagua.Int64{}).Decode(data); err == nil {
			if back, _ := (guagua.Int64{}).Append(nil, v); !bytes.Equal(back, data) {
				t.Errorf("int64: %x became %x", data, back)
			}
		}
		(guagua.JSON[struct{ A int }]{}).Decode(data) //nolint:errcheck // only that it does not panic
	})
}

type panicker struct{}

func (p *panicker) Load(context.Context, guagua.Split) error { return nil }

func (p *panicker) Compute(context.Context, *guagua.Step, int64) (int64, error) {
	var nothing []int
	return int64(nothing[3]), nil
}

type adder struct{}

func (adder) Compute(_ context.Context, _ *guagua.Step, last int64, results iter.Seq[int64]) (int64, error) {
	for v := range results {
		last += v
	}
	return last, nil
}

func TestPanicsNameTheirPlace(t *testing.T) {
	app := guagua.App[int64, int64]{
		Title:  "broken",
		Master: func(context.Context, *guagua.Env) (guagua.Master[int64, int64], error) { return adder{}, nil },
		Worker: func(context.Context, *guagua.Env) (guagua.Worker[int64, int64], error) { return &panicker{}, nil },
		Result: guagua.Int64{}, Part: guagua.Int64{},
	}
	w, err := app.Program().NewWorker(t.Context(), &guagua.Env{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Compute(t.Context(), &guagua.Step{}, nil)
	if !errors.Is(err, errs.Failed) || !strings.Contains(err.Error(), "guagua_test.go:") {
		t.Errorf("got %v", err)
	}
	m, err := app.Program().NewMaster(t.Context(), &guagua.Env{})
	if err != nil {
		t.Fatal(err)
	}
	parts := func(yield func(any, error) bool) {
		if yield(int64(1), nil) {
			yield(nil, errs.E("x", errs.Corrupt, nil, nil))
		}
	}
	if _, err := m.Compute(t.Context(), &guagua.Step{}, parts, nil); !errors.Is(err, errs.Corrupt) {
		t.Errorf("an error among the results must not be lost: %v", err)
	}
}

// rounded is a codec that loses digits.
type rounded struct{}

func (rounded) Append(dst []byte, v float64) ([]byte, error) {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v))), nil
}

func (rounded) Decode(data []byte) (float64, error) {
	if len(data) != 4 {
		return 0, errs.Errorf("rounded", errs.Corrupt, nil, "%d bytes", len(data))
	}
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(data))), nil
}

type thirds struct{ env *guagua.Env }

func (thirds) Load(context.Context, guagua.Split) error { return nil }

func (w thirds) Compute(_ context.Context, s *guagua.Step, master float64) (float64, error) {
	return master/7 + float64(s.Iteration)/float64(3+w.env.Worker), nil
}

type total struct{}

func (total) Compute(_ context.Context, _ *guagua.Step, _ float64, results iter.Seq[float64]) (sum float64, err error) {
	for v := range results {
		sum += v
	}
	return sum, nil
}

// TestCombiningDoesNotDependOnArrival: in whatever order results arrive and whoever dies meanwhile, the outcome is the
// same to the bit, even if results lose digits when they are encoded.
func TestCombiningDoesNotDependOnArrival(t *testing.T) {
	app := guagua.App[float64, float64]{
		Title: "thirds", Result: guagua.Float64{}, Part: rounded{},
		Combine: guagua.Combine(func(a, b float64) float64 { return a + b }),
		Master:  func(context.Context, *guagua.Env) (guagua.Master[float64, float64], error) { return total{}, nil },
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[float64, float64], error) {
			return thirds{env}, nil
		},
	}
	var want float64
	for seed := range uint64(50) {
		got, _, err := guaguatest.Run(t.Context(), app, guaguatest.Options{
			Workers: 7, Iterations: 9, Seed: seed, Chaos: int(min(seed, 5)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if seed == 0 {
			want = got
		}
		if got != want {
			t.Errorf("seed %d: %v, want %v", seed, got, want)
		}
	}
}
