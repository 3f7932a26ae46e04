package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// supervise runs a recorded job to its end in this process, shows how it goes, and tells what came of it.
func (p *program) supervise(ctx context.Context, at place, job scheduler.Job, o watchOptions) error {
	view := p.screen(o).View("")
	view.Say("job " + string(job.ID))
	report, err := at.Supervise(ctx, job, embedded.Options{Show: view.Show, Say: view.Say})
	view.Close()
	if err != nil {
		return err
	}
	return p.tell(ctx, at, job, report, o)
}

// result is the last event of a job that was watched.
type result struct {
	Event string    `json:"event"` // "result"
	Time  time.Time `json:"time"`
	am.Report
	Output  string        `json:"output"`
	Seconds float64       `json:"seconds"` // from the first application master's start to the end
	Exit    int           `json:"exit"`
	Used    *client.Usage `json:"used,omitempty"` // on a fleet
}

// tell says how a job has ended; the error that it returns is the exit code.
func (p *program) tell(ctx context.Context, at place, job scheduler.Job, r am.Report, o watchOptions) error {
	used := usageOf(context.WithoutCancel(ctx), at, r)
	var verdict error
	switch r.State {
	case scheduler.JobFailed:
		verdict = toldError{errs.Errorf("run", errs.Failed, job.ID, "%s", r.Message)}
	case scheduler.JobKilled:
		verdict = toldError{errs.Errorf("run", errs.Failed, job.ID, "%s", r.Message)}
		if ctx.Err() != nil {
			verdict = toldError{errs.E("run", errs.Canceled, job.ID, ctx.Err())}
		}
	}
	if o.json {
		last := result{"result", time.Now().UTC(), r, job.Output, took(r).Seconds(), say.ExitCode(verdict), used}
		if err := writeJSON(p.out, last); verdict == nil {
			return unread(err)
		}
		return verdict
	}
	bill := usageTable(used)
	if o.quiet {
		bill = usageLine(used)
	}
	if verdict != nil {
		fmt.Fprint(p.err, failure(job, r)+bill)
		return verdict
	}
	answer := success(job, r, partNames(ctx, r))
	if t, ok := trainingOf(job, r); ok {
		answer = trained(ctx, job, r, t)
	}
	if t, ok := tasksOf(job, r); ok {
		answer = "Done in " + format.Duration(took(r)) + ". " + t
	}
	if o.named {
		answer = string(job.ID) + ": " + answer
	}
	_, err := fmt.Fprint(p.out, answer+bill)
	return unread(err)
}

// took is how long a job has worked.
func took(r am.Report) time.Duration {
	if r.Started.IsZero() || r.Ended.IsZero() {
		return 0
	}
	return r.Ended.Sub(r.Started)
}

// summaryOf returns what a finished job says about its output.
func summaryOf(r am.Report) (mapreduce.Summary, bool) {
	var m mapreduce.Summary
	err := json.Unmarshal(r.Result, &m)
	return m, err == nil && m.Output != ""
}

// success is what people read when a job has worked. names are its parts, if they are few.
func success(job scheduler.Job, r am.Report, names []string) string {
	line := "Done in " + format.Duration(took(r)) + "."
	m, ok := summaryOf(r)
	if !ok {
		return line + "\n"
	}
	line += fmt.Sprintf(" %s in, %s out.\n", format.Plural(m.Totals.InputRecords, "record"),
		format.Count(m.Totals.OutputRecords))
	return line + proofLine(m.Totals) + badLine(job.Output, m.Totals) + skewLine(m) + outputLine(job.Output, m, names)
}

// badLine says what was left out, if anything was.
func badLine(output string, t proof.Totals) string {
	if t.BadRecords == 0 {
		return ""
	}
	return fmt.Sprintf("Left out: %s that functions failed at, kept in %s/%s.\n", format.Plural(t.BadRecords, "record"),
		say.Path(output), proof.Bad)
}

// skewLine says what is worth knowing about how the work was divided, if anything.
func skewLine(m mapreduce.Summary) string {
	if m.Skew == nil {
		return ""
	}
	sentence := m.Skew.Sentence(m.Totals.ReduceInputRecords)
	if sentence == "" {
		return ""
	}
	return "Skew: " + sentence + ".\n"
}

// proofLine says what was checked before the output was published.
func proofLine(t proof.Totals) string {
	line := readOnce(t)
	if t.Reduces > 0 {
		return line + fmt.Sprintf(", %s out of maps = into reduces, every block's checksum seen.\n",
			format.Plural(t.ReduceInputRecords, "record"))
	}
	return line + fmt.Sprintf(", %s out of maps = written.\n", format.Plural(t.OutputRecords, "record"))
}

func readOnce(t proof.Totals) string {
	read := format.Plural(t.SplitsRead, "split")
	if t.SplitsGivenUp > 0 {
		read = fmt.Sprintf("%s of %s", format.Count(t.SplitsRead), format.Plural(t.SplitsPlanned, "split"))
	}
	line := fmt.Sprintf("Proof: %s of %s read once", read, format.Bytes(t.BytesRead))
	if t.SplitsGivenUp > 0 {
		line += fmt.Sprintf(" (%s of %s given up)", format.Count(t.SplitsGivenUp), format.Bytes(t.BytesGivenUp))
	}
	return line
}

// outputLine says where the output lies, in words that can be pasted.
func outputLine(output string, m mapreduce.Summary, names []string) string {
	place := say.Path(output)
	if len(names) == 0 {
		return fmt.Sprintf("Output: %s (%s, %s)\n", place, format.Plural(int64(m.Parts), "part"),
			format.Bytes(m.Totals.OutputBytes))
	}
	return fmt.Sprintf("Output: %s/%s\n", place, strings.Join(append(names, proof.Success), ", "))
}

// fewParts is how many parts are named one by one.
const fewParts = 3

// partNames returns the parts of an output if they are few, as its manifest has them. Without it nobody is told their
// names, and that is all.
func partNames(ctx context.Context, r am.Report) []string {
	if m, ok := summaryOf(r); !ok || m.Parts > fewParts {
		return nil
	}
	m, err := readManifest(ctx, r)
	if err != nil {
		return nil
	}
	var names []string
	for _, part := range m.Parts {
		names = append(names, part.Name)
	}
	return names
}

// readManifest reads what lies in the output of a finished job.
func readManifest(ctx context.Context, r am.Report) (proof.Manifest, error) {
	summary, _ := summaryOf(r)
	st, name, err := newResolver("")(ctx, summary.Output)
	if err != nil {
		return proof.Manifest{}, err
	}
	text, err := store.Get(ctx, st, name.Join(proof.Success), proof.MaxManifest)
	if err != nil {
		return proof.Manifest{}, err
	}
	return proof.Decode(text)
}

// failure says whose fault it was, where, and what to do.
func failure(job scheduler.Job, r am.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "job %s %s", job.ID, r.State)
	if d := took(r); d > 0 {
		fmt.Fprintf(&b, " after %s", format.Duration(d))
	}
	if r.Message != "" {
		fmt.Fprintf(&b, ": %s", message(r.Message))
	}
	b.WriteByte('\n')
	if job.Output != "" {
		fmt.Fprintf(&b, "Nothing was written to %s. ", say.Path(job.Output))
	}
	if a, ok := lastFailed(r); ok {
		fmt.Fprintf(&b, "What the task said: runner logs %s --task %s", short(job.ID), a.ID.Task)
	}
	return strings.TrimRight(b.String(), " \n") + "\n"
}

// message gives a long message a line of its own for what lies behind its first colon.
func message(text string) string {
	text = say.Shorten(text)
	before, after, ok := strings.Cut(text, ": ")
	if ok && len(text) > 80 {
		return before + ":\n  " + after
	}
	return text
}

// lastFailed returns the latest attempt that failed by the user's fault.
func lastFailed(r am.Report) (last am.AttemptReport, ok bool) {
	for _, a := range r.Attempts {
		if a.State == scheduler.AttemptFailed && !a.End.Before(last.End) {
			last, ok = a, true
		}
	}
	return last, ok
}

// short is what people type for a job.
func short(id scheduler.JobID) string { return embedded.Short(id) }
