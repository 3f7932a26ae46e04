package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/runner/demo"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

type demoOptions struct {
	watch watchOptions
}

func (o *demoOptions) AddFlags(flags *pflag.FlagSet) { o.watch.AddFlags(flags) }

func newDemo(p *program) *cobra.Command {
	var o demoOptions
	cmd := verb{
		use:  "demo [flags]",
		does: "Counts the words of twelve books and trains a classifier, to show what jobs look like.",
		more: "The books come with the program. " +
			"The output goes to out/demo and out/demo-model, to out/demo-2 and so on if\n" +
			"that exists.",
		examples: []string{
			"runner demo", "runner demo --json", "runner demo --quiet",
		},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.demo(cmd.Context(), o)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) demo(ctx context.Context, o demoOptions) error {
	home, err := embedded.OpenHome()
	if err != nil {
		return err
	}
	shelf := filepath.Join(home.Dir, "demo", "books")
	books, size, err := demo.Unpack(shelf)
	if err != nil {
		return err
	}
	job, err := demoJob(ctx, shelf, size/int64(books))
	if err != nil {
		return err
	}
	if job, err = home.Jobs().Submit(ctx, job); err != nil {
		return err
	}
	view := p.screen(o.watch).View("")
	view.Say(fmt.Sprintf("Counting words in %d books that came with this program (%s), on this machine.", books,
		format.Bytes(size)))
	report, err := home.Supervise(ctx, job, embedded.Options{Show: view.Show, Say: view.Say})
	view.Close()
	if err != nil {
		return err
	}
	if o.watch.json || report.State != scheduler.JobSucceeded {
		if err := p.tell(ctx, home, job, report, o.watch); err != nil {
			return err
		}
		return p.demoTraining(ctx, o, home)
	}
	text, err := demoSuccess(ctx, job, report)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, text)
	if err := p.demoTraining(ctx, o, home); err != nil {
		return err
	}
	_, err = fmt.Fprint(p.out, demoNext(job.ID, say.Path(job.Output)))
	return err
}

// demoTraining is the second half: a model.
func (p *program) demoTraining(ctx context.Context, o demoOptions, home *embedded.Home) error {
	const workers, iterations = 4, 60
	rows := filepath.Join(home.Dir, "demo", "rows.csv")
	count, err := demo.Rows(rows)
	if err != nil {
		return err
	}
	s, err := specOfBuiltin("logistic-regression")
	if err != nil {
		return err
	}
	s.Name, s.Input = "demo-model", []string{rows}
	s.Guagua.Workers, s.Guagua.Iterations = workers, iterations
	if s.Output, err = freshFolder(filepath.Join("out", "demo-model")); err != nil {
		return err
	}
	job, err := jobOf(ctx, s)
	if err != nil {
		return err
	}
	if job, err = home.Jobs().Submit(ctx, job); err != nil {
		return err
	}
	view := p.screen(o.watch).View("")
	view.Say(fmt.Sprintf("Training a classifier on %s, %d workers, %d iterations.", format.Plural(int64(count), "row"),
		workers, iterations))
	report, err := home.Supervise(ctx, job, embedded.Options{Show: view.Show, Say: view.Say})
	view.Close()
	if err != nil {
		return err
	}
	return p.tell(ctx, home, job, report, o.watch)
}

// demoJob makes maps of about splitSize bytes, and two reducers: more to look at than the books need.
func demoJob(ctx context.Context, shelf string, splitSize int64) (scheduler.Job, error) {
	output, err := freshFolder(filepath.Join("out", "demo"))
	if err != nil {
		return scheduler.Job{}, err
	}
	s, err := specOfBuiltin("wordcount")
	if err != nil {
		return scheduler.Job{}, err
	}
	s.Name, s.Input, s.Output = "demo", []string{shelf}, output
	s.MapReduce.SplitSize, s.MapReduce.Reducers = splitSize, mapreduce.ExactReducers(2)
	return jobOf(ctx, s)
}

// demoSuccess is what people read at the end.
func demoSuccess(ctx context.Context, job scheduler.Job, r am.Report) (string, error) {
	m, err := readManifest(ctx, r)
	if err != nil {
		return "", err
	}
	output := say.Path(job.Output)
	words, err := topWords(output, m, 3)
	if err != nil {
		return "", err
	}
	done := fmt.Sprintf("Done in %s. %s different words; the most frequent: %s\n", format.Duration(took(r)),
		format.Count(m.Totals.OutputRecords), strings.Join(words, " · "))
	where := outputLine(job.Output, mapreduce.Summary{}, partNames(ctx, r))
	return done + proofLine(m.Totals) + where, nil
}

// demoNext says what to try next.
func demoNext(id scheduler.JobID, output string) string {
	var b strings.Builder
	b.WriteString("\n")
	lead := "Next:"
	for _, next := range [][2]string{
		{"runner run wordcount --input YOUR/FILES --output out/words", "the same with your text"},
		{"runner status " + short(id), "what just happened"},
		{"runner ui", "what just happened, in a browser"},
		{"runner verify " + output, "prove the output again"},
	} {
		fmt.Fprintf(&b, "%-5s  %-60s %s\n", lead, next[0], next[1])
		lead = ""
	}
	return b.String()
}

// freshFolder returns path, or path-2, path-3 and so on, whichever is not there yet.
func freshFolder(path string) (string, error) {
	fresh := path
	for n := 2; ; n++ {
		_, err := os.Lstat(fresh)
		if errors.Is(err, fs.ErrNotExist) {
			return fresh, nil
		}
		if err != nil {
			return "", errs.E("demo", errs.Other, fresh, err)
		}
		fresh = path + "-" + strconv.Itoa(n)
	}
}

// topWords returns the n most frequent words of a word count, as in "the 61,210".
func topWords(output string, m proof.Manifest, n int) ([]string, error) {
	const op = "demo.TopWords"
	type entry struct {
		word  string
		count int64
	}
	var top []entry
	for _, part := range m.Parts {
		f, err := os.Open(filepath.Join(output, part.Name))
		if err != nil {
			return nil, errs.E(op, errs.Other, output, err)
		}
		lines := bufio.NewReader(f)
		for {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break
			}
			word, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			count, parseErr := strconv.ParseInt(number, 10, 64)
			if err := cmp.Or(err, parseErr); err != nil {
				f.Close() // nothing was written
				return nil, errs.E(op, errs.Corrupt, part.Name, err)
			}
			top = append(top, entry{word, count})
			slices.SortFunc(top, func(a, b entry) int {
				return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(a.word, b.word))
			})
			top = top[:min(n, len(top))]
		}
		f.Close() // nothing was written
	}
	var words []string
	for _, e := range top {
		words = append(words, e.word+" "+format.Count(e.count))
	}
	return words, nil
}
