package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figures is a question that programs answer with a number that they print themselves: what one step of theirs takes,
// not the whole of their run. Less is better.
type figures struct {
	unit     string
	programs []string // the first is the one that the others are compared with
	cases    []instance
}

// instance is one size of the question, with what each program is asked.
type instance struct {
	name  string
	asked []asked // by program; without argv: not asked
}

// asked is a command and how to find the number in what it prints.
type asked struct {
	argv   []string
	env    []string
	number func(printed []byte) (float64, error)
	known  float64 // instead of a command: what was measured once, elsewhere
}

// after finds the number that a pattern's group matches, and scales it to the table's unit.
func after(pattern string, scale float64) func([]byte) (float64, error) {
	re := regexp.MustCompile(pattern)
	return func(printed []byte) (float64, error) {
		found := re.FindSubmatch(printed)
		if found == nil {
			return 0, fmt.Errorf("no %s in %q", pattern, printed)
		}
		v, err := strconv.ParseFloat(string(found[1]), 64)
		return v * scale, err
	}
}

func (q asked) answer(ctx context.Context) (float64, error) {
	cmd := exec.CommandContext(ctx, q.argv[0], q.argv[1:]...)
	cmd.Env = append(os.Environ(), q.env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(q.argv, " "), err, out.Bytes()[max(0, out.Len()-2000):])
	}
	v, err := q.number(out.Bytes())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(q.argv, " "), err)
	}
	return v, nil
}

// print asks everybody in turn, round by round, and prints medians and their ratios.
func (f figures) print(ctx context.Context, s settings) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\t%s\t\n", f.unit, strings.Join(f.programs, "\tratio\t")+"\tratio")
	for _, c := range f.cases {
		answers := make([][]float64, len(c.asked))
		for range s.rounds {
			for i, q := range c.asked {
				if q.known > 0 {
					answers[i] = append(answers[i], q.known)
				}
				if len(q.argv) == 0 {
					continue
				}
				v, err := q.answer(ctx)
				if err != nil {
					return err
				}
				answers[i] = append(answers[i], v)
			}
		}
		fmt.Fprintf(w, "%s\t", c.name)
		for _, a := range answers {
			if len(a) == 0 {
				fmt.Fprint(w, "\t\t")
				continue
			}
			slices.Sort(a)
			fmt.Fprintf(w, "%.3f\t%.2f\t", middle(a), middle(a)/middle(answers[0]))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func middle[T any](sorted []T) T { return sorted[(len(sorted)-1)/2] }
