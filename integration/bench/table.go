package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
)

// table is one question, and how to answer it.
type table struct {
	name  string
	title string
	print func(ctx context.Context, s settings, title string) error
}

// asking is a table of figures that programs print.
func asking(f func(context.Context, settings) (figures, error)) func(context.Context, settings, string) error {
	return func(ctx context.Context, s settings, title string) error {
		question, err := f(ctx, s)
		if err != nil {
			return err
		}
		fmt.Printf("\n%s\n", title)
		return question.print(ctx, s)
	}
}

// commands is a table of what commands take, the first of them the one that the others are compared with.
func commands(f func(context.Context, settings) ([]row, error)) func(context.Context, settings, string) error {
	return func(ctx context.Context, s settings, title string) error {
		rows, err := f(ctx, s)
		if err != nil {
			return err
		}
		return printCommands(ctx, s, title, rows)
	}
}

// row is one command. Its output folder or file is removed before each run.
type row struct {
	name   string
	argv   []string
	env    []string
	output string
	check  func(output string) error // whether the answer is right; nil where there is nothing to compare
}

func printCommands(ctx context.Context, s settings, title string, rows []row) error {
	samples := make([][]sample, len(rows))
	for range s.rounds {
		for i, r := range rows {
			if err := os.RemoveAll(r.output); err != nil {
				return err
			}
			one, err := measure(ctx, r.argv, append(r.env, s.home())...)
			if err != nil {
				return err
			}
			if r.check != nil && len(samples[i]) == 0 {
				if err := r.check(r.output); err != nil {
					return fmt.Errorf("%s: wrong answer: %w", r.name, err)
				}
			}
			samples[i] = append(samples[i], one)
		}
	}
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\twall s\tmin\tmax\tratio\tCPU s\tratio\tpeak MiB\t\n")
	for i, r := range rows {
		wallS, cpuS := median(samples[i], wall).Seconds(), median(samples[i], cpu).Seconds()
		low, high := samples[i][0].wall, samples[i][0].wall
		for _, one := range samples[i] {
			low, high = min(low, one.wall), max(high, one.wall)
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n", r.name, wallS, low.Seconds(), high.Seconds(),
			wallS/median(samples[0], wall).Seconds(), cpuS, cpuS/median(samples[0], cpu).Seconds(),
			median(samples[i], peak)>>20)
	}
	return w.Flush()
}
