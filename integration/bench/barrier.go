package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/barrier"
	"github.com/seed3322913c/runner/infra/coord/consul"
)

// barriers measures how long it takes until all participants know that all have come, on a Consul agent of its own. The
// naive barrier is one key for each participant: of those one alone watches all keys, which tells nobody else, or
// everybody does, which is not tried with a thousand.
func barriers(ctx context.Context, s settings, title string) error {
	c, end, err := consulAgent(ctx, s)
	if err != nil {
		return err
	}
	defer end()
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "participants\tms\tnaive, one knows: ms\tratio\tnaive, all know: ms\tratio\t\n")
	for _, n := range []int{4, 32, 256, 1000} {
		var ours, one, every []time.Duration
		for round := range s.rounds {
			took, err := together(ctx, n, func(ctx context.Context, name string, all []string) error {
				b := barrier.New(c, coord.Key(fmt.Sprint("b", n)), uint64(round+1))
				if name == all[0] { // who is the host as well
					var host sync.WaitGroup
					var hosted error
					host.Go(func() { hosted = b.AwaitEnter(ctx, all) })
					err := b.Enter(ctx, name)
					host.Wait()
					return errors.Join(err, hosted)
				}
				return b.Enter(ctx, name)
			})
			if err != nil {
				return err
			}
			ours = append(ours, took)
			for who, times := range map[string]*[]time.Duration{"one": &one, "every": &every} {
				if who == "every" && n > 256 {
					continue
				}
				prefix := fmt.Sprintf("naive-%s-%d/%d/", who, n, round)
				took, err = together(ctx, n, func(ctx context.Context, name string, all []string) error {
					return naive{c, prefix, len(all)}.pass(ctx, name, who == "every" || name == all[0])
				})
				if err != nil {
					return err
				}
				*times = append(*times, took)
			}
		}
		fmt.Fprintf(w, "%d\t%.1f\t", n, millis(ours))
		for _, times := range [][]time.Duration{one, every} {
			if len(times) == 0 {
				fmt.Fprint(w, "\t\t")
				continue
			}
			fmt.Fprintf(w, "%.1f\t%.2f\t", millis(times), millis(ours)/millis(times))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// millis is the median of times.
func millis(times []time.Duration) float64 {
	return float64(middle(slices.Sorted(slices.Values(times)))) / float64(time.Millisecond)
}

// together lets n participants pass at the same time, and returns how long the last of them took.
func together(
	ctx context.Context, n int, pass func(ctx context.Context, name string, all []string) error,
) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("w%d", i)
	}
	failed := make([]error, n)
	var group sync.WaitGroup
	begun := time.Now()
	for i, name := range all {
		group.Go(func() { failed[i] = pass(ctx, name, all) })
	}
	group.Wait()
	return time.Since(begun), errors.Join(failed...)
}

// naive is a barrier for n as a newcomer to Consul would write it.
type naive struct {
	coord  coord.Coordinator
	prefix string // of its keys
	n      int
}

// pass says that somebody has come, and waits for all others if told so.
func (b naive) pass(ctx context.Context, name string, waits bool) error {
	if _, err := b.coord.Swap(ctx, coord.Key(b.prefix+name), 0, []byte("here")); err != nil || !waits {
		return err
	}
	here := map[coord.Key]bool{}
	for e, err := range b.coord.Watch(ctx, b.prefix) {
		if err != nil {
			return err
		}
		if here[e.Key] = true; len(here) == b.n {
			return nil
		}
	}
	return ctx.Err()
}

// consulAgent starts an agent without guards, and returns what ends it.
func consulAgent(ctx context.Context, s settings) (*consul.Coordinator, func(), error) {
	out, err := exec.CommandContext(ctx, "scripts/engines", "consul").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("scripts/engines consul: %w", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return nil, nil, err
	}
	config := filepath.Join(s.work, "consul.json")
	text := fmt.Sprintf(`{"ports": {"http": %d, "dns": -1, "grpc": -1, "grpc_tls": -1, "server": %d, "serf_lan": %d, "serf_wan": -1},
"disable_update_check": true, "limits": {"http_max_conns_per_client": 5000}}`, port, port+1, port+2)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, nil, err
	}
	agent := exec.CommandContext(ctx, strings.TrimSpace(string(out)), "agent", "-dev", "-config-file", config,
		"-log-level", "error")
	agent.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
	if err := agent.Start(); err != nil {
		return nil, nil, err
	}
	end := func() {
		_ = agent.Process.Kill() // it may have ended
		_ = agent.Wait()         // killed, as it was meant
	}
	c, err := consul.Open(consul.Options{
		Address: fmt.Sprintf("127.0.0.1:%d", port),
		Client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000}},
	})
	for tries := 0; err == nil; tries++ {
		if _, err = c.Get(ctx, "ready"); err == nil {
			return c, func() { c.Close(); end() }, nil
		}
		if tries < 300 && ctx.Err() == nil { // it has no way to tell when it is there
			time.Sleep(100 * time.Millisecond)
			err = nil
		}
	}
	end()
	return nil, nil, err
}
