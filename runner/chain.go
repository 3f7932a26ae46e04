package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/progress"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/scheduler"
)

// runChain runs the jobs of a file that has several.
func (p *program) runChain(ctx context.Context, o runOptions, file string, specs []spec.Spec) error {
	if o.parallel < 0 || o.retries < 0 {
		return say.Errorf(errs.Invalid, "--parallel and --retries want a number")
	}
	at, end, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer end()
	chain, err := prepareChain(ctx, o.spec, specs)
	if err != nil {
		return err
	}
	if f, ok := at.(*fleet.Fleet); ok {
		for i := range chain.Links {
			if chain.Links[i].Job, err = forFleet(ctx, f, chain.Links[i].Job); err != nil {
				return say.Errorf(errs.KindOf(err), "%s: %s", chain.Links[i].Job.Name, say.Sentence(err))
			}
		}
	}
	chain.Name, chain.Submitted = spec.CleanName(cmp.Or(o.spec.Name, baseName(file))), time.Now().UTC()
	chain.Parallel, chain.Retries = o.parallel, o.retries
	if chain, err = at.Jobs().SubmitChain(ctx, chain); err != nil {
		return err
	}
	if o.detach {
		return p.detach(at, chain.ID, o.watch)
	}
	return p.superviseChain(ctx, at, chain, chainOptions{watch: o.watch})
}

// prepareChain makes the jobs of a chain, if nothing is wrong with any of them. What a job reads of another's output is
// looked at when it starts.
func prepareChain(ctx context.Context, flags spec.Flags, specs []spec.Spec) (embedded.Chain, error) {
	c, err := chainOf(flags, specs)
	if err != nil {
		return c, err
	}
	return c, checkChain(ctx, c, checkHere)
}

// chainOf makes a chain of specifications. What its jobs read and write is not looked at.
func chainOf(flags spec.Flags, specs []spec.Spec) (embedded.Chain, error) {
	if flag := flags.OfOneJob(); flag != "" {
		return embedded.Chain{}, say.Errorf(errs.Invalid, "%s is about one job, and this file has %d. "+
			"Write it in the file, at the job that is meant", flag, len(specs))
	}
	dir, err := os.Getwd()
	if err != nil {
		return embedded.Chain{}, errs.E("run", errs.Other, nil, err)
	}
	var c embedded.Chain
	place := map[string]int{}
	flags.Name = "" // that of the chain
	for i, s := range specs {
		if err := flags.Apply(&s); err != nil {
			return c, err
		}
		job, err := s.Job(dir)
		if err != nil {
			return c, say.Errorf(errs.KindOf(err), "%s: %s", s.Name, say.Sentence(err))
		}
		job.User = os.Getenv("USER")
		place[job.Name] = i
		c.Links = append(c.Links, embedded.Link{Job: job, Intermediate: s.Intermediate})
	}
	for i, s := range specs {
		for _, name := range s.Needs {
			c.Links[i].Needs = append(c.Links[i].Needs, place[spec.CleanName(name)])
		}
	}
	return c, nil
}

// checkOf finds what is wrong with a job that is about to start, but for inputs that others will have made by then.
type checkOf func(ctx context.Context, job scheduler.Job, made func(uri string) bool) error

// checkHere is checkJob for a job of this machine.
func checkHere(ctx context.Context, job scheduler.Job, made func(uri string) bool) error {
	return checkJob(ctx, job, newResolver(job.Output), made)
}

// checkChain finds what is wrong with the jobs of a chain, as far as that can be known before they have run.
func checkChain(ctx context.Context, c embedded.Chain, check checkOf) error {
	for i, l := range c.Links {
		made, err := checkLink(c, i)
		if err == nil {
			err = say.Usage(check(ctx, l.Job, made))
		}
		if err != nil {
			return say.Errorf(errs.KindOf(err), "%s: %s", l.Job.Name, say.Sentence(err))
		}
	}
	return nil
}

// checkLink finds what is wrong with the place of a job in its chain. made reports of an input whether a job makes it
// that has run by then.
func checkLink(c embedded.Chain, i int) (made func(input string) bool, err error) {
	job := c.Links[i].Job
	before := needed(c, i)
	made = func(input string) bool {
		return slices.ContainsFunc(before, func(j int) bool { return reads(input, c.Links[j].Job.Output) })
	}
	inputs := slices.Clone(job.Input)
	for _, f := range job.Files {
		inputs = append(inputs, f.URI)
	}
	for j, other := range c.Links {
		if i == j {
			continue
		}
		if split.Within(other.Job.Output, job.Output) {
			return nil, say.Errorf(errs.Invalid, "the output %s is also that of %s, or lies in it", job.Output, other.Job.Name)
		}
		for _, input := range inputs {
			if reads(input, other.Job.Output) && !slices.Contains(before, j) {
				return nil, say.Errorf(errs.Invalid, "the input %s is what %s writes; say needs: [%[2]s]", input,
					other.Job.Name)
			}
		}
	}
	return made, nil
}

// needed returns the places of all that must have run before a job, directly or not.
func needed(c embedded.Chain, i int) []int {
	var all []int
	for todo := slices.Clone(c.Links[i].Needs); len(todo) > 0; todo = todo[1:] {
		if j := todo[0]; !slices.Contains(all, j) {
			all = append(all, j)
			todo = append(todo, c.Links[j].Needs...)
		}
	}
	return all
}

// reads reports whether an input has to do with what a job will write.
func reads(input, output string) bool {
	return split.Within(input, output) || split.Selects(input, output+"/part-r-00000")
}

// chainOptions say how a chain is watched.
type chainOptions struct {
	watch watchOptions
	ready func() // called once, when the chain is in the hands of this process; may be nil
}

// Jobs of a chain that run at a time, if nobody says how many. On one machine they share its cores, and each may take
// the memory that it asks for; on a fleet they wait in its queues, and who watches them must do so for each.
const (
	parallelHere  = 4
	parallelFleet = 16
)

func addParallel(flags *pflag.FlagSet, to *int) {
	flags.IntVar(to, "parallel", 0, fmt.Sprintf("`N` jobs of the file at a time at most; %d on this machine and %d on a "+
		"cluster by default", parallelHere, parallelFleet))
}

// parallel is how many jobs of a chain run at a time.
func parallel(at place, c embedded.Chain) int {
	if _, ok := at.(*embedded.Home); ok {
		return cmp.Or(c.Parallel, parallelHere)
	}
	return cmp.Or(c.Parallel, parallelFleet)
}

// superviseChain runs what is left to do of a chain: side by side, each job after those that it needs. A job that fails
// keeps those from running that need it, and no others.
func (p *program) superviseChain(ctx context.Context, at place, c embedded.Chain, o chainOptions) error {
	chains := at.Chains()
	lost, release, err := chains.Hold(ctx, c.ID)
	if err != nil {
		return err
	}
	chains.Resolve = newResolver("")
	if o.ready != nil {
		o.ready()
	}
	o.watch.named = true
	run := chainRun{
		program: p, at: at, chains: chains, chain: c, watch: o.watch, lost: lost, screen: p.screen(o.watch),
		todo: spec.Order(c.Needs()), ended: make(chan jobEnd), done: make([]scheduler.JobID, len(c.Links)),
		failed: make([]int, len(c.Links)), tidied: make([]bool, len(c.Links)),
	}
	run.say("chain %s of %d jobs", c.ID, len(c.Links))
	err = run.all(ctx)
	release() // or the chain would say that it runs
	if err != nil {
		return err
	}
	return p.tellChain(ctx, at, c, o.watch)
}

// chainRun is one run of a chain, perhaps not the first. Its fields are for the goroutine that has made it.
type chainRun struct {
	*program
	at     place
	chains embedded.Chains
	chain  embedded.Chain
	watch  watchOptions
	screen *progress.Screen
	lost   <-chan struct{} // somebody else may run the chain from now on

	todo    []int // places, in an order that satisfies what jobs need
	running int
	ended   chan jobEnd

	// By place:
	done   []scheduler.JobID // the tries that have succeeded
	failed []int             // tries in this run, but for the last
	tidied []bool            // the output was intermediate, and is no longer needed
}

// jobEnd is what has become of a job: nil, a toldError, or why nobody knows.
type jobEnd struct {
	place int
	job   scheduler.JobID
	state scheduler.JobState // "" if nobody knows
	err   error
}

func (r *chainRun) say(format string, args ...any) { r.screen.Say(fmt.Sprintf(format, args...)) }

// all runs jobs until there is none left that could run. After an error no more are begun, and those that were are
// watched to their ends.
func (r *chainRun) all(ctx context.Context) (err error) {
	for {
		if err == nil {
			err = r.fill(ctx)
		}
		if r.running == 0 {
			return err
		}
		e := <-r.ended
		r.running--
		told := toldError{}
		switch {
		case e.err == nil:
			r.succeeded(ctx, e.place, e.job)
		case !errors.As(e.err, &told):
			err = cmp.Or(err, e.err)
		case e.state == scheduler.JobFailed && r.failed[e.place] < r.chain.Retries: // and not killed by somebody
			r.failed[e.place]++
			r.say("job %s is tried again", e.job)
			r.todo = append(r.todo, e.place)
		}
	}
}

// fill begins as many jobs as may run now.
func (r *chainRun) fill(ctx context.Context) error {
	for r.running < parallel(r.at, r.chain) {
		at := slices.IndexFunc(r.todo, r.ready)
		if at < 0 {
			return nil
		}
		if more, err := r.more(ctx); err != nil || !more {
			r.todo = nil
			return err
		}
		i := r.todo[at]
		r.todo = slices.Delete(r.todo, at, at+1)
		if err := r.begin(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *chainRun) succeeded(ctx context.Context, place int, id scheduler.JobID) {
	r.done[place] = id
	r.tidy(context.WithoutCancel(ctx)) // what was begun is ended in order
}

// more reports whether another job may be begun.
func (r *chainRun) more(ctx context.Context) (bool, error) {
	select {
	case <-r.lost:
		return false, say.Errorf(errs.Unavailable, "this process was out of reach for too long to run chain %s. "+
			"To go on: runner resume %s", r.chain.ID, short(r.chain.ID))
	case <-ctx.Done():
		return false, nil
	default:
	}
	reason, err := r.chains.Stopped(ctx, r.chain.ID)
	return reason == "", err
}

// ready reports whether all that a job needs has succeeded.
func (r *chainRun) ready(i int) bool {
	return !slices.ContainsFunc(r.chain.Links[i].Needs, func(j int) bool { return r.done[j] == "" })
}

// begin begins a job, unless it has succeeded before. Its end is told.
func (r *chainRun) begin(ctx context.Context, i int) error {
	job, done, err := r.chains.Begin(ctx, r.chain, i)
	if err != nil {
		return err
	}
	if done {
		r.say("job %s is done already", job.ID)
		r.succeeded(ctx, i, job.ID)
		return nil
	}
	r.running++
	r.say("job %s", job.ID)
	view := r.screen.View(job.Name)
	go func() {
		end := jobEnd{place: i, job: job.ID}
		report, err := r.at.Supervise(ctx, job, embedded.Options{Show: view.Show, Say: view.Say})
		view.Close()
		if end.err = err; err == nil {
			end.state = report.State
			r.screen.Aside(func() { end.err = r.tell(ctx, r.at, job, report, r.watch) })
		}
		r.ended <- end
	}()
	return nil
}

// tidy removes the outputs of which all have succeeded that need them. One that cannot be removed does not change what
// the jobs have done.
func (r *chainRun) tidy(ctx context.Context) {
	for i, l := range r.chain.Links {
		if !l.Intermediate || r.tidied[i] || r.done[i] == "" || !r.used(i) {
			continue
		}
		r.tidied[i] = true
		switch found, err := commit.Remove(ctx, newResolver(""), l.Job.Output, r.done[i]); {
		case err != nil:
			r.say("The intermediate output %s could not be removed: %s", say.Path(l.Job.Output), say.Sentence(err))
		case found:
			r.say("Removed the intermediate output %s", say.Path(l.Job.Output))
		}
	}
}

// used reports whether all have succeeded that need a job.
func (r *chainRun) used(i int) bool {
	for j, l := range r.chain.Links {
		if slices.Contains(l.Needs, i) && r.done[j] == "" {
			return false
		}
	}
	return true
}

// chainResult is the last event of a chain that was watched.
type chainResult struct {
	Event string    `json:"event"` // "chain"
	Time  time.Time `json:"time"`
	embedded.ChainStatus
	Exit int `json:"exit"`
}

// tellChain says how a chain has ended; the error that it returns is the exit code.
func (p *program) tellChain(ctx context.Context, at place, c embedded.Chain, o watchOptions) error {
	s, err := at.Chains().Status(context.WithoutCancel(ctx), c)
	if err != nil {
		return err
	}
	var verdict error
	switch {
	case s.State == scheduler.JobSucceeded:
	case ctx.Err() != nil:
		verdict = toldError{errs.E("run", errs.Canceled, c.ID, ctx.Err())}
	default:
		verdict = toldError{errs.Errorf("run", errs.Failed, c.ID, "not all of its jobs have succeeded")}
	}
	switch {
	case o.json:
		err = writeJSON(p.out, chainResult{"chain", time.Now().UTC(), s, say.ExitCode(verdict)})
	case verdict != nil:
		fmt.Fprint(p.err, chainFailure(s))
	default:
		_, err = fmt.Fprintf(p.out, "All %d jobs of chain %s are done.\n", len(s.Jobs), s.Chain)
	}
	if verdict != nil {
		return verdict
	}
	return unread(err)
}

// chainFailure says which jobs of a chain did not succeed, which were not run, and what to do.
func chainFailure(s embedded.ChainStatus) string {
	state := map[string]string{}
	for _, j := range s.Jobs {
		state[j.Name] = j.State
	}
	var b strings.Builder
	done := 0
	for _, j := range s.Jobs {
		switch j.State {
		case string(scheduler.JobSucceeded):
			done++
		case embedded.Waiting:
			fmt.Fprintf(&b, "  %s was not run%s\n", j.Name, because(j, state))
		default:
			fmt.Fprintf(&b, "  %s %s\n", j.Name, j.State)
		}
	}
	return fmt.Sprintf("chain %s: %d of %s done\n%sTo go on from there: runner resume %s\n", s.Chain, done,
		format.Plural(int64(len(s.Jobs)), "job"), b.String(), short(s.Chain))
}

// because names what a job waits for.
func because(j embedded.LinkStatus, state map[string]string) string {
	var missing []string
	for _, need := range j.Needs {
		if state[need] != string(scheduler.JobSucceeded) {
			missing = append(missing, need)
		}
	}
	if missing == nil {
		return ""
	}
	return ": it needs " + strings.Join(missing, " and ")
}

// describeChain is a chain in a few lines.
func describeChain(s embedded.ChainStatus) string {
	var b strings.Builder
	head := []string{string(s.Chain), s.Word()}
	if !s.Ended.IsZero() {
		head = append(head, format.Duration(s.Ended.Sub(s.Started)))
	}
	fmt.Fprintln(&b, strings.Join(append(head, format.Plural(int64(len(s.Jobs)), "job")), "  "))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, j := range s.Jobs {
		var facts []string
		if len(j.Needs) > 0 {
			facts = append(facts, "needs "+strings.Join(j.Needs, ", "))
		}
		if j.Intermediate {
			facts = append(facts, "intermediate")
		}
		if j.Tries > 1 {
			facts = append(facts, fmt.Sprintf("try %d", j.Tries))
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", cmp.Or(string(j.Job), j.Name), j.State, strings.Join(facts, "; "))
	}
	_ = table.Flush() // into memory
	if s.Interrupted || s.State == scheduler.JobFailed || s.State == scheduler.JobKilled {
		fmt.Fprintf(&b, "  Jobs that are done are kept. To go on: runner resume %s\n", short(s.Chain))
	}
	return b.String()
}
