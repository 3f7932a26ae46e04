package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fnhost"
)

// What a function is asked with.
const (
	invokeEvent   = `{"name":"you"}`
	invokeSingle  = 1000 // invocations, one after the other
	invokeCallers = 64   // at once
	invokeFor     = 3 * time.Second
)

// invocations measures functions as people and programs meet them: the command from nothing, and callers that stay
// connected. Each answer is durable before it is told.
func invocations(ctx context.Context, s settings, title string) error {
	if err := os.Setenv(embedded.HomeEnv, filepath.Join(s.work, "functions-home")); err != nil {
		return err
	}
	home, err := embedded.OpenHome()
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "handler\tfrom nothing ms\twarm p50 ms\tp99 ms\tper second\tlost\t\n")
	for _, language := range []string{"go", "python"} {
		r, err := invokeBench{s: s, home: home, name: "greet-" + language}.run(ctx, language)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f\t%.0f\t%d\t\n", language, r.cold, r.p50, r.p99, r.rate, r.lost)
	}
	return w.Flush()
}

// invokeBench is one function that is measured.
type invokeBench struct {
	s    settings
	home *embedded.Home
	name string
}

// invoked is what was measured, times in milliseconds.
type invoked struct {
	cold, p50, p99, rate float64
	lost                 int // answers that the ledger does not have
}

func (b invokeBench) run(ctx context.Context, language string) (r invoked, err error) {
	folder := filepath.Join(b.s.work, b.name)
	for _, args := range [][]string{{"fn", "init", folder, "--lang", language}, {"fn", "push", folder}} {
		if err := b.runner(ctx, args...); err != nil {
			return r, err
		}
	}
	var cold []float64
	for range b.s.rounds {
		if err := b.runner(ctx, "fn", "stop"); err != nil {
			return r, err
		}
		began := time.Now()
		if err := b.runner(ctx, "invoke", b.name, "-d", invokeEvent); err != nil {
			return r, err
		}
		cold = append(cold, milliseconds(time.Since(began)))
	}
	slices.Sort(cold)
	r.cold = cold[len(cold)/2]
	client := fnhost.NewClient(b.home)
	defer client.Close()
	answered, err := b.warm(ctx, client, &r)
	if err != nil {
		return r, err
	}
	if err := b.runner(ctx, "fn", "stop"); err != nil {
		return r, err
	}
	known, err := invoke.Follow(b.home.Store)
	if err != nil {
		return r, err
	}
	ledger, err := known.Ledger(ctx)
	if err != nil {
		return r, err
	}
	r.lost = max(0, min(answered, invoke.KeepMost)-ledger.Stats(b.name).Succeeded)
	return r, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// runner runs the program and drops what it answers.
func (b invokeBench) runner(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, b.s.runner, args...)
	var complaints strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &complaints
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, complaints.String())
	}
	return nil
}

// warm asks one after the other, and then many at once; answered is how many answers there were in all.
func (b invokeBench) warm(ctx context.Context, client *fnhost.Client, r *invoked) (answered int, err error) {
	ask := func() error {
		_, err := client.Invoke(ctx, invoke.Request{Function: b.name, Event: []byte(invokeEvent)})
		return err
	}
	var took []float64
	for range invokeSingle {
		began := time.Now()
		if err := ask(); err != nil {
			return 0, err
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	slices.Sort(took)
	r.p50, r.p99 = took[len(took)/2], took[len(took)*99/100]
	var callers sync.WaitGroup
	var n atomic.Int64
	var failed atomic.Pointer[error]
	began := time.Now()
	for range invokeCallers {
		callers.Go(func() {
			for time.Since(began) < invokeFor && failed.Load() == nil {
				if err := ask(); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	callers.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	r.rate = float64(n.Load()) / time.Since(began).Seconds()
	return invokeSingle + int(n.Load()), nil
}
