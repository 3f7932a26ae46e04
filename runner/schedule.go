package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler/cron"
)

func newSchedule(p *program) *cobra.Command {
	var json bool
	cmd := verb{
		use:  "schedule COMMAND [flags]",
		does: "Runs jobs by the clock: at each slot once, and late if nobody was there.",
		more: "`runner ui` and `runner schedule serve` fire the schedules of this machine while they run; " +
			"of several only one\n" +
			"does. A fleet's control fires those that were added with --cluster. " +
			"A firing is a job like any other: `runner jobs`\n" +
			"lists it, under the name of its schedule.\n" +
			"In paths and parameters {{.FireTime}} stands for the slot, " +
			"as in 20261121T020000Z; {{.FireDate}} and {{.FireHour}}\n" +
			"are its date and hour in the schedule's zone, {{.Schedule}} is the schedule's name.",
		examples: []string{
			"runner schedule add nightly --cron '0 2 * * *' --tz Europe/Paris -- run job.yaml --output 'out/{{.FireDate}}'",
			"runner schedule ls",
			"runner schedule show nightly --json",
		},
	}.family()
	p.addCluster(cmd.PersistentFlags())
	addJSON(cmd.PersistentFlags(), &json)
	cmd.AddCommand(
		newScheduleAdd(p, &json),
		ofSchedules(p, verb{use: "ls", does: "Lists the schedules, and when they fire next."},
			func(ctx context.Context, at place) error { return p.scheduleList(ctx, at, json) }),
		ofSchedule(p, verb{use: "show NAME", does: "Shows a schedule, when it fires next and what has become of its slots."},
			func(ctx context.Context, at place, name string) error {
				return p.scheduleShow(ctx, at, name, json)
			}),
		newScheduleNext(p, &json),
		ofSchedule(p, verb{use: "pause NAME", does: "Keeps a schedule from firing. What runs goes on."},
			func(ctx context.Context, at place, name string) error {
				return p.schedulePause(ctx, at, name, pauseOptions{paused: true, json: json})
			}),
		ofSchedule(p, verb{use: "resume NAME", does: "Lets a schedule fire again. The slots in between are forgotten."},
			func(ctx context.Context, at place, name string) error {
				return p.schedulePause(ctx, at, name, pauseOptions{json: json})
			}),
		ofSchedule(p, verb{use: "trigger NAME", does: "Runs a schedule's work now, after what runs of it already."},
			func(ctx context.Context, at place, name string) error {
				return p.scheduleTrigger(ctx, at, name, json)
			}),
		ofSchedule(p, verb{use: "rm NAME", does: "Removes a schedule and its history. What runs goes on."},
			func(ctx context.Context, at place, name string) error {
				return p.scheduleRemove(ctx, at, name, json)
			}),
		newScheduleServe(p),
	)
	return cmd
}

// ofSchedules makes a command about all schedules.
func ofSchedules(p *program, v verb, action func(ctx context.Context, at place) error) *cobra.Command {
	return v.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		at, end, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		defer end()
		return action(cmd.Context(), at)
	})
}

// ofSchedule makes a command about one schedule.
func ofSchedule(p *program, v verb, action func(ctx context.Context, at place, name string) error) *cobra.Command {
	return v.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "the NAME of a schedule"); err != nil {
			return err
		}
		at, end, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		defer end()
		return noSchedule(cmd.Context(), at, args[0], action(cmd.Context(), at, args[0]))
	})
}

// noSchedule says of an error that there is no such schedule, if that is what it says.
func noSchedule(ctx context.Context, at place, name string, err error) error {
	if errs.KindOf(err) != errs.NotFound {
		return err
	}
	var names []string
	book, listing := calendarOf(at)
	if listing != nil {
		return listing
	}
	all, listing := book.Schedules(ctx)
	if listing != nil {
		return listing
	}
	for _, s := range all {
		names = append(names, s.Name)
	}
	return say.Errorf(errs.NotFound, "there is no schedule %q.%s `runner schedule ls` lists what there is", name,
		say.DidYouMean(name, names))
}

// scheduleOf returns one schedule of a place.
func scheduleOf(ctx context.Context, at place, name string) (schedules.View, error) {
	book, err := calendarOf(at)
	if err != nil {
		return schedules.View{}, err
	}
	return book.Schedule(ctx, name)
}

func bookOf(at place) cron.Book { return cron.Book{Store: at.Jobs().Store} }

func (p *program) scheduleList(ctx context.Context, at place, json bool) error {
	book, err := calendarOf(at)
	if err != nil {
		return err
	}
	all, err := book.Schedules(ctx)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(p.err, "No schedules yet. See: runner help schedule")
		return nil
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tNEXT\tLAST\tWHEN\tRUNS")
	for _, v := range all {
		last := "-"
		if len(v.Firings) > 0 {
			last = fmt.Sprintf("%s %s", v.Firings[0].State, fireTime(v, v.Firings[0].Slot))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s %s\t%s\n", v.Name, nextWord(v), last, v.Cron, v.Zone, v.Runs)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return p.tellUnserved(ctx, at)
}

// nextWord is when a schedule fires next, in a table.
func nextWord(v schedules.View) string {
	switch {
	case v.Paused:
		return "paused"
	case len(v.Next) == 0:
		return "never"
	}
	return fireTime(v, v.Next[0])
}

// fireTime is a moment as clocks show it where the schedule is.
func fireTime(v schedules.View, at time.Time) string {
	if zone, err := time.LoadLocation(v.Zone); err == nil { // it was checked when it was added
		at = at.In(zone)
	}
	return at.Format("2006-01-02 15:04 MST")
}

// tellUnserved says that this machine's schedules don't fire, if that is so.
func (p *program) tellUnserved(ctx context.Context, at place) error {
	home, ok := at.(*embedded.Home)
	if !ok {
		return nil // a fleet's control fires them
	}
	served, err := home.Held(ctx, cron.LeaderKey)
	if err == nil && !served {
		fmt.Fprintln(p.err, "Nobody fires them at the moment: runner schedule serve, or runner ui")
	}
	return err
}

func (p *program) scheduleShow(ctx context.Context, at place, name string, json bool) error {
	v, err := scheduleOf(ctx, at, name)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, v)
	}
	if _, err := io.WriteString(p.out, showSchedule(v)); err != nil {
		return err
	}
	return p.tellUnserved(ctx, at)
}

// showSchedule is a schedule as people read it.
func showSchedule(v schedules.View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s %s  overlap %s, catch-up %d", v.Name, v.Cron, v.Zone, v.Overlap, v.CatchUp)
	if v.Jitter > 0 {
		fmt.Fprintf(&b, ", jitter %s", format.Duration(time.Duration(v.Jitter*float64(time.Second))))
	}
	if v.Wake > 0 {
		fmt.Fprintf(&b, ", wakes its cluster for %s", format.Duration(time.Duration(v.Wake*float64(time.Second))))
	}
	fmt.Fprintf(&b, "\nruns  %s\n", v.Runs)
	if v.Fleet != nil {
		fmt.Fprintf(&b, "on    a fleet of its own, %s\n", format.Plural(int64(v.Fleet.Request.Workers), "worker"))
	}
	if len(v.Next) == 0 {
		fmt.Fprintf(&b, "next  %s\n", nextWord(v))
	}
	for _, at := range v.Next {
		fmt.Fprintf(&b, "next  %s\n", fireTime(v, at))
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range v.Firings {
		what := "slot"
		if f.Trigger != "" {
			what = "trigger"
		}
		var jobs []string
		for _, id := range f.Jobs {
			jobs = append(jobs, string(id))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", what, fireTime(v, f.Slot), f.State, f.ID,
			strings.Join(append(jobs, f.Message), " "))
	}
	_ = table.Flush() // memory takes everything
	return b.String()
}

func newScheduleNext(p *program, json *bool) *cobra.Command {
	n := schedules.Upcoming
	cmd := ofSchedule(p, verb{use: "next NAME [flags]", does: "Tells when a schedule fires next."},
		func(ctx context.Context, at place, name string) error {
			return p.scheduleNext(ctx, at, name, nextOptions{n: n, json: *json})
		})
	grouped(cmd.Flags(), "How many", func(f *pflag.FlagSet) {
		f.IntVarP(&n, "count", "n", n, "`N` moments; "+strconv.Itoa(n)+" by default")
	})
	return cmd
}

type nextOptions struct {
	n    int
	json bool
}

// maxNext bounds how many moments are told.
const maxNext = 10_000

func (p *program) scheduleNext(ctx context.Context, at place, name string, o nextOptions) error {
	if o.n < 1 || o.n > maxNext {
		return say.Errorf(errs.Invalid, "--count %d is not 1 to %d", o.n, maxNext)
	}
	v, err := scheduleOf(ctx, at, name)
	if err != nil {
		return err
	}
	next := append([]time.Time{}, v.Upcoming(time.Now(), o.n)...)
	if o.json {
		return writeJSON(p.out, next)
	}
	if v.Paused {
		fmt.Fprintf(p.err, "Schedule %s is paused: runner schedule resume %[1]s\n", name)
	}
	for _, at := range next {
		fmt.Fprintln(p.out, at.Format(time.RFC3339))
	}
	return nil
}

type pauseOptions struct {
	paused bool
	json   bool
}

func (p *program) schedulePause(ctx context.Context, at place, name string, o pauseOptions) error {
	book, err := calendarOf(at)
	if err != nil {
		return err
	}
	v, err := book.SetSchedulePaused(ctx, name, o.paused)
	if err == nil {
		err = p.wake(ctx, at)
	}
	if err != nil {
		return err
	}
	return p.tellSchedule(ctx, at, v, o.json)
}

// tellSchedule says when a schedule fires next, after it was changed.
func (p *program) tellSchedule(ctx context.Context, at place, v schedules.View, json bool) error {
	if json {
		return writeJSON(p.out, v)
	}
	fmt.Fprintf(p.out, "%s  next %s\n", v.Name, nextWord(v))
	return p.tellUnserved(ctx, at)
}

func (p *program) scheduleTrigger(ctx context.Context, at place, name string, json bool) error {
	book, err := calendarOf(at)
	if err != nil {
		return err
	}
	t, err := book.TriggerSchedule(ctx, name)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, t)
	}
	fmt.Fprintf(p.out, "%s will run as soon as nothing of it runs: runner schedule show %[1]s\n", name)
	return p.tellUnserved(ctx, at)
}

func (p *program) scheduleRemove(ctx context.Context, at place, name string, json bool) error {
	book, err := calendarOf(at)
	if err == nil {
		err = book.RemoveSchedule(ctx, name)
	}
	if err == nil {
		err = p.wake(ctx, at)
	}
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, map[string]string{"removed": name})
	}
	_, err = fmt.Fprintf(p.out, "%s is removed\n", name)
	return err
}
