package child_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/child"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// outcome maps lines and returns the error, wherever it shows.
func outcome(m *child.Mapper, lines string, out functions.Emitter) error {
	if _, err := m.MapBatch(run(lines), out); err != nil {
		return err
	}
	return m.Cleanup(out)
}

func TestUserErrorsAreToldWithTheirPlace(t *testing.T) {
	for _, c := range []struct {
		line, message, where string
	}{
		{"fail", "this line is bad", ""},
		{"panic", "panic: this line is worse", "programs_test.go:"},
		{"index", "panic: runtime error: index out of range [7] with length 5", "programs_test.go:"},
	} {
		m := newMapper(t, "fails", child.Task{})
		err := outcome(m, "a\nb\n"+c.line+"\nc\n", newCollector())
		var f *wire.Failure
		if !errors.Is(err, errs.Failed) || !errors.As(err, &f) {
			t.Errorf("%s: error %v is no failure of the user", c.line, err)
			continue
		}
		if f.Message != c.message || !strings.HasPrefix(f.Where, c.where) || f.Record != 3 {
			t.Errorf("%s: %+v", c.line, f)
		}
		if again := m.Flush(newCollector()); !errors.Is(again, err) {
			t.Errorf("%s: later calls say %v", c.line, again)
		}
	}
}

func TestDeathsAreExplained(t *testing.T) {
	for _, c := range []struct {
		program, line string
		want          []string
	}{
		{"functions", "exit", []string{"exited with status 5", "I have had enough."}},
		{"functions", "goroutine", []string{"exited with status 2", "panic: in the background", "programs_test.go:"}},
		{"exit", "", []string{"exited with status 3", "no disk\n    no fun"}},
		{"quits", "", []string{"ended before it was done"}},
		{"orphan", "", []string{"exited with status 4", "orphan"}},
		{"garbage", "", []string{`"Hello, I am not what you think.\n" is no hello`, "functions.Main"}},
		{"newer", "", []string{"it speaks version 2 of the protocol, not 1"}},
		{"babbles", "", []string{`is not the head of a frame`}},
		{"liar", "a", []string{"it counted 7 in and 0 out, but 1 went in and 0 came out"}},
	} {
		t.Run(c.program+c.line, func(t *testing.T) {
			t.Parallel()
			m, err := child.NewMapper(t.Context(), command(c.program), child.Task{Function: "crashes"})
			if err == nil {
				err = outcome(m, c.line, newCollector())
				check(t, m.Close())
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
			if kind := errs.KindOf(err); kind != errs.Failed && c.program != "newer" {
				t.Errorf("error %v is %v", err, kind)
			}
			killOrphan(t, err)
		})
	}
}

// killOrphan ends what the program orphan left behind.
func killOrphan(t *testing.T, err error) {
	_, after, found := strings.Cut(fmt.Sprint(err), "orphan ")
	if !found {
		return
	}
	var pid int
	if _, err := fmt.Sscan(after, &pid); err != nil {
		t.Fatal(err)
	}
	check(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestContextEndsAChildThatNeverAnswers(t *testing.T) {
	cause := errors.New("enough of this")
	for _, program := range []string{"deaf", "mute"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cmd := command(program)
		cmd.Stderr = writerFunc(func(b []byte) (int, error) { cancel(cause); return len(b), nil })
		if _, err := child.NewMapper(ctx, cmd, child.Task{}); !errors.Is(err, cause) || errs.KindOf(err) != errs.Canceled {
			t.Errorf("%s: %v", program, err)
		}
		if _, err := child.NewMapper(ctx, cmd, child.Task{}); !errors.Is(err, cause) || errs.KindOf(err) != errs.Canceled {
			t.Errorf("%s: %v", program, err)
		}
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestContextEndsAMapperAtWork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m, err := child.NewMapper(ctx, command("functions"), child.Task{Function: "upper"})
	if err != nil {
		t.Fatal(err)
	}
	in := run(strings.Repeat("0123456789abcde\n", wire.FrameSize/16))
	for err == nil {
		_, err = m.MapBatch(in, &cancels{cancel: cancel})
	}
	if errs.KindOf(err) != errs.Canceled {
		t.Errorf("%v", err)
	}
	check(t, m.Close())
}

// cancels is an Emitter that ends a context.
type cancels struct {
	collector
	cancel func()
}

func (c *cancels) Emit(_, _ []byte) error {
	c.cancel()
	return nil
}
