package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// This file asks what iterative jobs take.

// supersteps compares iterations with those of the plainest star over TCP, every worker a process; with MPI's
// allreduce, which survives nothing, if that is installed (Debian: openmpi-bin, python3-mpi4py); and with what two
// others took once on such a machine. The engine uses groups of 16 for 128 workers.
func supersteps(ctx context.Context, s settings) (figures, error) {
	f := figures{unit: "ms", programs: []string{"yardstick", "runner", "runner, groups", "MPI", "Ray", "original"}}
	p50 := after(`p50 ([0-9.]+) ms`, 1)
	peers, err := s.peers(ctx)
	if err != nil {
		return f, err
	}
	const python = "/usr/bin/python3" // Debian's, which Debian's packages are for
	mpi := exec.CommandContext(ctx, "mpirun", "--version").Run() == nil &&
		exec.CommandContext(ctx, python, "-c", "import mpi4py").Run() == nil
	for _, c := range []struct {
		workers, floats, iterations int
		ray, original               float64 // measured once
	}{
		{2, 10, 5000, 0, 0}, {4, 10, 5000, 5.4, 305}, {8, 10, 3000, 0, 0}, {16, 10, 2000, 20, 308}, {32, 10, 1000, 0, 0},
		{128, 10, 300, 0, 0}, {4, 1000, 3000, 0, 0}, {16, 1000, 1000, 0, 0}, {4, 100_000, 300, 0, 0},
		{16, 100_000, 100, 0, 0}, {4, 1_000_000, 50, 38, 2219}, {16, 1_000_000, 15, 136, 0},
	} {
		args := []string{strconv.Itoa(c.workers), strconv.Itoa(c.floats), strconv.Itoa(c.iterations)}
		all := []asked{
			{argv: append([]string{filepath.Join(s.yards, "superstep")}, args...), number: p50},
			{argv: append([]string{s.superstep}, args...), number: p50}, {}, {}, {known: c.ray}, {known: c.original},
		}
		if c.workers > 32 {
			all[2] = asked{argv: append([]string{s.superstep, "-group", "16"}, args...), number: p50}
		}
		if mpi && c.workers <= 32 { // its processes wait by looking: many more of them than cores take for ever
			all[3] = asked{argv: []string{"mpirun", "--oversubscribe", "--allow-run-as-root", "--mca", "mpi_yield_when_idle",
				"1",
				"-np", args[0], python, filepath.Join(peers, "superstep_mpi.py"), args[1], strconv.Itoa(max(10, c.iterations/5))},
				number: p50}
		}
		f.cases = append(f.cases, instance{fmt.Sprintf("%d workers, %d floats", c.workers, c.floats), all})
	}
	return f, nil
}

// overNetwork compares a star with groups of workers, where every process has a network card of 1 Gbit/s.
func overNetwork(_ context.Context, s settings) (figures, error) {
	f := figures{unit: "ms", programs: []string{"star", "groups of 2", "groups of 4", "groups of 8"}}
	for _, workers := range []int{16, 32} {
		c := instance{name: fmt.Sprintf("%d workers, 1000000 floats", workers)}
		for _, group := range []string{"0", "2", "4", "8"} {
			argv := []string{s.superstep, "-rate", "125000000", "-group", group, strconv.Itoa(workers), "1000000", "4"}
			c.asked = append(c.asked, asked{argv: argv, number: after(`p50 ([0-9.]+) ms`, 1)})
		}
		f.cases = append(f.cases, c)
	}
	return f, nil
}

// fanIn shows that a master's memory is bounded: a thousand workers, in one other process, send it a mebibyte each.
// What can be added up is never there at once; what can't is kept in a file beyond what is allowed.
func fanIn(_ context.Context, s settings) (figures, error) {
	f := figures{unit: "MiB", programs: []string{"64 MiB allowed", "256 MiB allowed"}}
	for _, reduce := range []string{"vectors", "list"} {
		c := instance{name: "1000 workers x 1 MiB, " + reduce}
		for _, memory := range []int{64 << 20, 256 << 20} {
			argv := []string{s.superstep, "-processes", "1", "-reduce", reduce, "-memory", strconv.Itoa(memory),
				"1000", "131072", "2"}
			c.asked = append(c.asked, asked{argv: argv, number: after(`peak ([0-9.]+) MiB`, 1)})
		}
		f.cases = append(f.cases, c)
	}
	return f, nil
}

// gradient compares full-batch gradient descent of a logistic regression on 60,000 x 784: the time of one iteration.
// Losses must agree, whoever computes them.
func gradient(ctx context.Context, s settings) (figures, error) {
	const iterations = 50
	in, err := fashion(ctx, s.cache)
	if err != nil {
		return figures{}, err
	}
	python, err := numpy(ctx, s.cache)
	if err != nil {
		return figures{}, err
	}
	peers, err := s.peers(ctx)
	if err != nil {
		return figures{}, err
	}
	steps := strconv.Itoa(iterations)
	same := sameLoss(`loss\(` + steps + `\)=([0-9.]+)`)
	script := func(name string) []string { return []string{python, filepath.Join(peers, name), in, steps} }
	yard := func(threads int) asked {
		return asked{argv: []string{filepath.Join(s.yards, "gradient"), "f64u", strconv.Itoa(threads), steps, in},
			number: same(after(`mean ([0-9.]+) s/iter`, 1000))}
	}
	ours := func(workers int) asked {
		out := filepath.Join(s.work, "model")
		return asked{argv: []string{s.runner, "run", "logistic-regression", "--quiet", "--overwrite", "--output", out,
			"--memory", "1GiB", "--input", filepath.Join(in, "train.csv"),
			"--set", "workers=" + strconv.Itoa(workers), "--set", "iterations=" + steps, "--set", "positive=0",
			"--set", "scale=255", "--set", "learning-rate=0.1"},
			env: []string{s.home()}, number: func([]byte) (float64, error) {
				seconds, loss, err := readMetrics(filepath.Join(out, "metrics.jsonl"))
				if err != nil {
					return 0, err
				}
				printed := fmt.Appendf(nil, "%.6f ms, loss(%s)=%.13f", seconds*1000, steps, loss)
				return same(after(`([0-9.]+) ms`, 1))(printed)
			}}
	}
	mean := after(`mean ([0-9.]+) s/iter`, 1000)
	spark, original := asked{known: 220}, asked{known: 400} // measured once on such a machine
	if _, err := exec.LookPath("java"); err == nil {
		spark = asked{argv: script("gradient_spark.py"), number: mean}
	}
	programs := []string{"yardstick", "runner", "numpy", "scikit-learn", "Spark MLlib", "original"}
	return figures{unit: "ms", programs: programs, cases: []instance{
		{"2 threads, or 2 workers", []asked{yard(2), ours(2), {argv: script("gradient_numpy.py"), number: same(mean)},
			{argv: script("gradient_sklearn.py"), number: mean}, spark, original}},
		{"1 thread, or 1 worker", []asked{yard(1), ours(1)}},
	}}, nil
}

// sameLoss returns a check of the loss that programs print: it must be the one that the first of them printed, to nine
// digits.
func sameLoss(pattern string) func(number func([]byte) (float64, error)) func([]byte) (float64, error) {
	loss := after(pattern, 1)
	first := math.NaN()
	return func(number func([]byte) (float64, error)) func([]byte) (float64, error) {
		return func(printed []byte) (float64, error) {
			l, err := loss(printed)
			if err != nil {
				return 0, err
			}
			if math.IsNaN(first) {
				first = l
			}
			if math.Abs(l-first) > 1e-9*first {
				return 0, fmt.Errorf("wrong answer: the loss is %.13f, want %.13f", l, first)
			}
			return number(printed)
		}
	}
}

// readMetrics returns the mean of the iterations' seconds, as the yardstick does, and the loss at the end.
func readMetrics(name string) (seconds, loss float64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var sum, n float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct{ Seconds, Loss float64 }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return 0, 0, err
		}
		sum, n, loss = sum+line.Seconds, n+1, line.Loss
	}
	if n == 0 {
		return 0, 0, errors.New(name + " is empty")
	}
	return sum / n, loss, nil
}
