package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/fnhost"
)

const (
	shared       = "greet"
	sharedSingle = 300              // invocations, one after the other
	sharedTokens = 8                // of which each may ask 200 times a second
	sharedFor    = 15 * time.Second // while the control that leads is killed
	sharedKill   = 3 * time.Second  // after the first of them
)

// sharedInvocations measures functions of a fleet by way of its control, also while the one that leads is killed.
func sharedInvocations(ctx context.Context, s settings, title string) error {
	l, err := s.up(ctx)
	if err != nil {
		return err
	}
	defer l.down()
	folder := filepath.Join(l.work, shared)
	manifest := filepath.Join(folder, "function.yaml")
	if _, err := l.verb(ctx, "fn", "init", folder, "--lang", "go"); err != nil {
		return err
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	if err := os.WriteFile(manifest, append(text, "\nidle: 2s\n"...), 0o600); err != nil {
		return err
	}
	if _, err := l.verb(ctx, "fn", "push", folder); err != nil {
		return err
	}
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if err := l.coldInvocations(ctx, w); err != nil {
		return err
	}
	clients, err := l.callers(ctx)
	if err != nil {
		return err
	}
	if err := l.warmInvocations(ctx, w, clients[0]); err != nil {
		return err
	}
	if err := l.steadyInvocations(ctx, w, clients); err != nil {
		return err
	}
	if err := l.steadyRequests(ctx, w, clients); err != nil {
		return err
	}
	return w.Flush()
}

// coldInvocations measures the command when neither host nor handler is there, and when the host alone is.
func (l *local) coldInvocations(ctx context.Context, w *tabwriter.Writer) error {
	nomad, err := l.cluster.Nomad()
	if err != nil {
		return err
	}
	ask := func() (float64, error) {
		began := time.Now()
		_, err := l.verb(ctx, "invoke", shared, "-d", invokeEvent)
		return milliseconds(time.Since(began)), err
	}
	var nothing, host []float64
	for range l.rounds {
		if _, _, err := nomad.Jobs().Deregister("fleet-system-functions", false, nil); err != nil &&
			!strings.Contains(err.Error(), "404") { // there is none yet
			return err
		}
		if err := l.none(ctx, "functions"); err != nil {
			return err
		}
		for _, times := range []*[]float64{&nothing, &host} {
			if err := l.none(ctx, "handler"); err != nil {
				return err
			}
			took, err := ask()
			if err != nil {
				return err
			}
			*times = append(*times, took)
		}
	}
	_, err = fmt.Fprintf(w, "host and handler to be started\t%.0f ms\t\na handler to be started\t%.0f ms\t\n",
		middle(slices.Sorted(slices.Values(nothing))), middle(slices.Sorted(slices.Values(host))))
	return err
}

// none waits until no container of a role runs.
func (l *local) none(ctx context.Context, role string) error {
	nomad, err := l.cluster.Nomad()
	if err != nil {
		return err
	}
	return l.cluster.Eventually(ctx, func() error {
		allocs, _, err := nomad.Allocations().List(nil)
		if err != nil {
			return err
		}
		for _, a := range allocs {
			if a.TaskGroup == role && (a.ClientStatus == "running" || a.ClientStatus == "pending") {
				return fmt.Errorf("%s is %s", a.Name, a.ClientStatus)
			}
		}
		return nil
	})
}

// caller asks as one token may.
type caller struct {
	*fnhost.Client
	control *client.Client
}

// callers makes tokens and clients that have them.
func (l *local) callers(ctx context.Context) ([]caller, error) {
	saved, err := fleet.Load(filepath.Join(l.work, "home"), "bench")
	if err != nil {
		return nil, err
	}
	var all []caller
	for i := range sharedTokens {
		made, err := l.control.CreateToken(ctx, fmt.Sprint("caller-", i), "submit")
		if err != nil {
			return nil, err
		}
		saved.Control.Token = made.Text
		f, err := fleet.Open(ctx, saved, func(context.Context, string) (store.Store, error) { return mem.New(), nil })
		if err != nil {
			return nil, err
		}
		functions, err := fnhost.FleetClient(f)
		if err != nil {
			return nil, err
		}
		control, err := f.Control()
		if err != nil {
			return nil, err
		}
		all = append(all, caller{functions, control})
	}
	return all, nil
}

// warmInvocations asks one after the other.
func (l *local) warmInvocations(ctx context.Context, w *tabwriter.Writer, c caller) error {
	var took []float64
	for range sharedSingle {
		began := time.Now()
		if _, err := c.Invoke(ctx, invoke.Request{Function: shared, Event: []byte(invokeEvent)}); err != nil {
			return err
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	slices.Sort(took)
	_, err := fmt.Fprintf(w, "a warm handler\tp50 %.1f ms\tp99 %.1f ms\n", took[len(took)/2], took[len(took)*99/100])
	return err
}

// steadyInvocations asks many times at once while the control that leads is killed, and counts what is lost.
func (l *local) steadyInvocations(ctx context.Context, w *tabwriter.Writer, clients []caller) error {
	before, err := l.succeeded(ctx)
	if err != nil {
		return err
	}
	var n, longest atomic.Int64
	ask := func(c caller, key string) error {
		began := time.Now()
		_, err := c.Invoke(ctx, invoke.Request{Function: shared, Key: key, Event: []byte(invokeEvent)})
		n.Add(1)
		if took := int64(time.Since(began)); took > longest.Load() { // a race would hide the shorter of two
			longest.Store(took)
		}
		return err
	}
	killed := make(chan error, 1)
	go func() {
		select {
		case <-time.After(sharedKill):
			_, err := l.depose(ctx)
			killed <- err
		case <-ctx.Done():
			killed <- ctx.Err()
		}
	}()
	began := time.Now()
	if err := atOnce(clients, sharedFor, ask); err != nil {
		return err
	}
	rate := float64(n.Load()) / time.Since(began).Seconds()
	if err := <-killed; err != nil {
		return err
	}
	after, err := l.succeeded(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d callers, the leader killed\t%.0f a second\tlost %d of %d, the longest waited %.1f s\n",
		2*len(clients), rate, max(0, min(int(n.Load()), invoke.KeepMost-before)-(after-before)), n.Load(),
		time.Duration(longest.Load()).Seconds())
	return err
}

// steadyRequests asks the API how the fleet is, many times at once.
func (l *local) steadyRequests(ctx context.Context, w *tabwriter.Writer, clients []caller) error {
	var n atomic.Int64
	const long = 3 * time.Second
	err := atOnce(clients, long, func(c caller, _ string) error {
		n.Add(1)
		_, err := c.control.Cluster(ctx)
		return err
	})
	if err == nil {
		_, err = fmt.Fprintf(w, "GET /v1/cluster, %d callers\t%.0f a second\t\n", 2*len(clients),
			float64(n.Load())/long.Seconds())
	}
	return err
}

// atOnce lets all clients ask, twice at once, for a while; each time with another key.
func atOnce(clients []caller, long time.Duration, ask func(c caller, key string) error) error {
	var all sync.WaitGroup
	failed := make(chan error, 2*len(clients))
	began := time.Now()
	for i := range 2 * len(clients) {
		all.Go(func() {
			for n := 0; time.Since(began) < long; n++ {
				if err := ask(clients[i/2], fmt.Sprintf("%d-%d", i, n)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// succeeded is how many invocations the ledger has that were answered.
func (l *local) succeeded(ctx context.Context) (int, error) {
	all, err := l.control.Functions(ctx)
	if err != nil {
		return 0, err
	}
	if len(all) != 1 {
		return 0, fmt.Errorf("%d functions are listed", len(all))
	}
	return all[0].Stats.Succeeded, nil
}
