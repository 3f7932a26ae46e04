package child_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/functions/child"
	"github.com/seed3322913c/runner/functions/wire"
)

// programVar tells the test binary which program to be when a test starts it as a child.
const programVar = "CHILD_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if name := os.Getenv(programVar); name != "" {
		programs()[name]()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// command starts the test binary as one of the programs.
func command(program string) child.Command {
	return child.Command{Argv: []string{os.Args[0]}, Env: append(os.Environ(), programVar+"="+program)}
}

func programs() map[string]func() {
	return map[string]func(){
		"functions": func() {
			functions.Main(wordCount(), bytesWordCount(), rawWordCount(), fails(), crashes(), longest(), mean(), keyed(),
				lazy(), talks(), upper(), names())
		},
		"garbage":  func() { fmt.Println("Hello, I am not what you think.") },
		"exit":     func() { fmt.Fprintln(os.Stderr, "no disk\nno fun"); os.Exit(3) },
		"quits":    func() {},
		"deaf":     wait,
		"mute":     func() { go io.Copy(io.Discard, os.Stdin); wait() },
		"liar":     func() { speak(wire.Done{In: 7, Out: 0}) },
		"newer":    func() { os.Stdout.Write(wire.HelloFrame(wire.Version + 1)); io.Copy(io.Discard, os.Stdin) },
		"babbles":  babble,
		"orphan":   orphan,
		"parent":   parent,
		"pid":      func() { fmt.Fprintln(os.Stderr, os.Getpid()); <-time.After(time.Hour) },
		"describe": func() { fmt.Println(`{"functions": 7}`) },
	}
}

// speak is a child that does nothing, and says in the end that it has done so much.
func speak(done wire.Done) {
	in := bufio.NewReader(os.Stdin)
	_, err := wire.ReadHello(in)
	os.Stdout.Write(wire.HelloFrame(wire.Version))
	for t := wire.Type(0); err == nil; {
		if t, _, err = wire.Read(in, nil); err != nil {
			return
		}
		switch t {
		case wire.Opening:
			f, _ := wire.JSONFrame(wire.Accept, wire.Accepted{Values: "bytes"})
			os.Stdout.Write(f)
		case wire.End:
			f, _ := wire.JSONFrame(wire.Finished, done)
			os.Stdout.Write(f)
			return
		}
	}
}

// wait says that it is there, and nothing more.
func wait() {
	fmt.Fprintln(os.Stderr, "here I am")
	<-time.After(time.Hour)
}

// babble speaks well at first.
func babble() {
	in := bufio.NewReader(os.Stdin)
	wire.ReadHello(in)
	wire.Read(in, nil)
	os.Stdout.Write(wire.HelloFrame(wire.Version))
	f, _ := wire.JSONFrame(wire.Accept, wire.Accepted{Values: "int64"})
	os.Stdout.Write(f)
	fmt.Println("and now for something completely different")
	io.Copy(io.Discard, in)
}

// parent has a child that says on the parent's output who it is, and nothing else.
func parent() {
	cmd := command("pid")
	cmd.Stderr = os.Stdout
	_, err := child.NewMapper(context.Background(), cmd, child.Task{})
	fmt.Println(err)
}

// orphan leaves a process behind that left its group, before anybody could kill that, and holds all that it was given.
func orphan() {
	c := exec.Command("sleep", "1000")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "orphan", c.Process.Pid)
	os.Exit(4)
}

func wordCount() functions.Function {
	return functions.MapReduce[string, int64]{
		Name: "wordcount", Doc: "counts words",
		Map: func(line []byte, emit func(string, int64)) error {
			for _, w := range bytes.Fields(line) {
				emit(string(w), 1)
			}
			return nil
		},
		Combine: functions.Sum[int64](),
	}
}

// bytesWordCount makes no strings.
func bytesWordCount() functions.Function {
	return functions.MapReduce[[]byte, int64]{
		Name: "bytes",
		Map: func(line []byte, emit func([]byte, int64)) error {
			for w := range bytes.FieldsSeq(line) {
				emit(w, 1)
			}
			return nil
		},
		Combine: functions.Sum[int64](),
	}
}

func rawWordCount() functions.Function {
	return functions.Raw{Name: "raw", Mapper: func() functions.Mapper {
		m, err := builtin.Mapper("wordcount", nil)
		if err != nil {
			panic(err)
		}
		return m
	}}
}

// fails refuses a line that says so.
func fails() functions.Function {
	return functions.MapReduce[string, string]{
		Name: "fails",
		Map: func(line []byte, emit func(string, string)) error {
			switch string(line) {
			case "fail":
				return fmt.Errorf("this line is bad")
			case "panic":
				panic("this line is worse")
			case "index":
				_ = line[len(line)+strings.Count("aa", "a")]
			}
			emit(string(line), "")
			return nil
		},
	}
}

// crashes takes the whole process down.
func crashes() functions.Function {
	return functions.MapReduce[string, string]{
		Name: "crashes",
		Map: func(line []byte, emit func(string, string)) error {
			switch string(line) {
			case "exit":
				fmt.Fprintln(os.Stderr, "I have had enough.")
				os.Exit(5)
			case "goroutine":
				go func() { panic("in the background") }()
				<-time.After(time.Hour)
			}
			emit(string(line), "")
			return nil
		},
	}
}

func longest() functions.Function {
	return functions.MapReduce[string, int]{
		Name: "longest",
		Map: func(line []byte, emit func(string, int)) error {
			emit("longest", len(line))
			return nil
		},
		Combine: functions.Max[int](),
	}
}

func mean() functions.Function {
	return functions.MapReduce[int64, float64]{
		Name: "mean", Params: []functions.Param{{Name: "scale", Doc: "divides", Default: "1"}},
		Map: func(line []byte, emit func(int64, float64)) error {
			emit(int64(len(line)), float64(len(line)))
			return nil
		},
		Reduce: functions.Reduce(func(key int64, values iter.Seq[float64], emit func(int64, float64)) error {
			n, sum := 0, 0.0
			for v := range values {
				n, sum = n+1, sum+v
			}
			emit(key, sum/float64(n))
			return nil
		}),
	}
}

// keyed puts out what it gets as it gets it.
func keyed() functions.Function {
	return functions.Raw{
		Name: "keyed",
		Mapper: func() functions.Mapper {
			return mapperFunc(func(in functions.Record, out functions.Emitter) error { return out.Emit(in.Key, in.Value) })
		},
		Reducer:  func() functions.Reducer { return reducerFunc(passOn) },
		Combiner: func() functions.Reducer { return reducerFunc(passOn) },
	}
}

func passOn(key []byte, values functions.Values, out functions.Emitter) error {
	for values.Next() {
		if err := out.Emit(key, values.Value()); err != nil {
			return err
		}
	}
	return nil
}

// lazy reads one value of each key.
func lazy() functions.Function {
	return functions.Raw{
		Name:   "lazy",
		Mapper: func() functions.Mapper { return nil },
		Reducer: func() functions.Reducer {
			return reducerFunc(func(key []byte, values functions.Values, out functions.Emitter) error {
				values.Next()
				return out.Emit(key, values.Value())
			})
		},
	}
}

// talks prints, counts and reports, and knows its parameters.
func talks() functions.Function {
	var env functions.Env
	return functions.MapReduce[string, string]{
		Name: "talks",
		Params: []functions.Param{
			{Name: "given", Doc: "x", Required: true}, {Name: "default", Doc: "x", Default: "d"},
		},
		Setup: func(e functions.Env) error {
			env = e
			fmt.Println("printed in setup")
			env.Status("set up " + env.Attempt())
			return nil
		},
		Map: func(line []byte, emit func(string, string)) error {
			fmt.Println("printed:", string(line))
			env.Logf("logged: %s", line)
			env.Count("talks", "lines", 1)
			given, _ := env.Param("given")
			byDefault, _ := env.Param("default")
			_, other := env.Param("other")
			n, err := os.Stdin.Read(make([]byte, 1))
			emit(given+byDefault, fmt.Sprint(other, n, err))
			return nil
		},
	}
}

// upper puts out far more than it gets.
func upper() functions.Function {
	return functions.MapReduce[string, string]{
		Name: "upper",
		Map: func(line []byte, emit func(string, string)) error {
			for range 20 {
				emit(strings.ToUpper(string(line)), "")
			}
			return nil
		},
	}
}

type mapperFunc func(in functions.Record, out functions.Emitter) error

func (f mapperFunc) Map(in functions.Record, out functions.Emitter) error { return f(in, out) }

type reducerFunc func(key []byte, values functions.Values, out functions.Emitter) error

func (f reducerFunc) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	return f(key, values, out)
}

// names puts out each line and its length to named outputs.
func names() functions.Function {
	var env functions.Env
	var count func(struct{}, int) error
	return functions.MapReduce[string, string]{
		Name: "names",
		Setup: func(e functions.Env) error {
			env, count = e, functions.To[struct{}, int](e, "count")
			return nil
		},
		Map: func(line []byte, _ func(string, string)) error {
			if err := functions.EmitTo(env, "long", line, nil); err != nil {
				return err
			}
			return count(struct{}{}, len(line))
		},
	}
}
