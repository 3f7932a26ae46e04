// Command bench prints how fast Runner is, as ratios against programs measured in the same run: a yardstick near the
// machine's limit, and the peers that happen to be installed. Absolute times on shared machines mean little, so every
// round runs every command once, in turn, and the table shows medians.
//
//	scripts/bench [--rounds 3] [--only wordcount,tiny] [--input FILE] [--rows N]
//
// The text is Debian's linux-source-6.1, fetched once into the cache folder. Nothing here asserts: the reader judges.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings is what the command line and the environment of a run come to.
type settings struct {
	rounds int
	only   map[string]bool // empty: everything
	cache  string          // corpus and built programs
	work   string          // outputs, removed at the end
	input  string          // the text
	rows   int             // of 100 bytes that the fleet sorts
	runner string          // the product's binary
	yards  string          // folder of the yardsticks' binaries

	superstep string // the binary of ./superstep

	servers *sync.WaitGroup // processes that end with the run's context
}

// home is the environment variable that keeps the product's own files in the work folder.
func (s settings) home() string { return "RUNNER_HOME=" + filepath.Join(s.work, "home") }

func run(ctx context.Context) error {
	rounds := flag.Int("rounds", 3, "how often each command is measured")
	only := flag.String("only", "", "comma-separated names of tables to print; empty: all")
	input := flag.String("input", "", "text to count instead of the kernel's sources")
	rows := flag.Int("rows", 10_000_000, "how many rows of 100 bytes the fleet sorts")
	flag.Parse()
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	s := settings{rounds: *rounds, only: map[string]bool{}, cache: filepath.Join(cache, "runner", "bench"), input: *input,
		rows: *rows}
	for _, name := range strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }) {
		s.only[name] = true
	}
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return err
	}
	if s.work, err = os.MkdirTemp("", "runner-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.work)
	s.servers = new(sync.WaitGroup)
	defer s.servers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := build(ctx, &s); err != nil {
		return err
	}
	fmt.Printf("%d cores, %s/%s, %s. Medians of %d rounds; every round runs each command once.\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), s.rounds)
	for _, t := range tables {
		if len(s.only) > 0 && !s.only[t.name] {
			continue
		}
		if err := t.print(ctx, s, t.title); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}
