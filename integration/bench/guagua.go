package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
)

// This file asks what iterative jobs take.

// supersteps compares iterations with those of the plainest star over TCP, every worker a process.
func supersteps(_ context.Context, s settings) (figures, error) {
	f := figures{unit: "ms", programs: []string{"yardstick", "runner"}}
	p50 := regexp.MustCompile(`p50 ([0-9.]+) ms`)
	for _, c := range []struct{ workers, floats, iterations int }{
		{2, 10, 5000}, {8, 10, 3000}, {32, 10, 1000}, {128, 10, 300}, {4, 1000, 3000}, {16, 1000, 1000},
		{4, 100_000, 300}, {16, 100_000, 100}, {4, 1_000_000, 50}, {16, 1_000_000, 15},
	} {
		args := []string{strconv.Itoa(c.workers), strconv.Itoa(c.floats), strconv.Itoa(c.iterations)}
		f.cases = append(f.cases, instance{fmt.Sprintf("%d workers, %d floats", c.workers, c.floats), []asked{
			{argv: append([]string{filepath.Join(s.yards, "superstep")}, args...), pattern: p50},
			{argv: append([]string{s.superstep}, args...), pattern: p50},
		}})
	}
	return f, nil
}

// fanIn shows that a master's memory is bounded: a thousand workers, in one other process, send it a megabyte each.
func fanIn(_ context.Context, s settings) (figures, error) {
	peak := regexp.MustCompile(`peak ([0-9.]+) MiB`)
	f := figures{unit: "MiB", programs: []string{"all results", "master's peak"}}
	for _, reduce := range []string{"vectors", "list"} {
		f.cases = append(f.cases, instance{"1000 workers x 1 MiB, " + reduce + ", 64 MiB allowed", []asked{
			{argv: []string{"echo", "1000"}, pattern: regexp.MustCompile(`(\d+)`)},
			{argv: []string{s.superstep, "-processes", "1", "-reduce", reduce, "-memory", strconv.Itoa(64 << 20),
				"1000", "131072", "2"}, pattern: peak},
		}})
	}
	return f, nil
}
