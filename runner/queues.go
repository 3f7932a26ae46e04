package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/queues"
	"github.com/seed3322913c/runner/runner/say"
)

type queuesOptions struct {
	set  string
	json bool
}

// AddFlags adds the flags of `runner queues`.
func (o *queuesOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "What changes", func(f *pflag.FlagSet) {
		f.StringVar(&o.set, "set", "", "`FILE` that describes the queues from now on; - is standard input")
	})
	addJSON(flags, &o.json)
}

func newQueues(p *program) *cobra.Command {
	var o queuesOptions
	cmd := verb{
		use:  "queues [flags]",
		does: "Shows how a cluster's machines are divided, and who waits.",
		more: "A queue is guaranteed its share, " +
			"and may take more up to its maximum while others leave some; jobs that hold more\n" +
			"give executors back when others want what they are guaranteed. docs/fleet.md has the description's keys.",
		examples: []string{"runner queues --cluster demo", "runner queues --set queues.yaml", "runner queues --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.withControl(cmd.Context(), func(ctx context.Context, c *client.Client) error { return p.queues(ctx, c, o) })
	})
	o.AddFlags(cmd.Flags())
	p.addCluster(cmd.Flags())
	return cmd
}

// withControl asks the control of the cluster that was asked for.
func (p *program) withControl(ctx context.Context, ask func(context.Context, *client.Client) error) error {
	at, end, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer end()
	f, ok := at.(*fleet.Fleet)
	if !ok {
		return say.Errorf(errs.Invalid, "which cluster? Say --cluster NAME; on this machine alone jobs share nothing")
	}
	c, err := f.Control()
	if err != nil {
		return err
	}
	return ask(ctx, c)
}

func (p *program) queues(ctx context.Context, c *client.Client, o queuesOptions) error {
	var list client.QueueList
	var err error
	if o.set == "" {
		list, err = c.Queues(ctx)
	} else {
		list, err = setQueues(ctx, c, o.set)
	}
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, list)
	}
	return tellQueues(p.out, list)
}

func setQueues(ctx context.Context, c *client.Client, file string) (list client.QueueList, err error) {
	in := os.Stdin
	if file != stdin {
		if in, err = os.Open(file); err != nil {
			return list, say.Errorf(errs.Invalid, "%s cannot be read: %s", file, errs.Cause(err))
		}
		defer in.Close() // only read
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSpec))
	if err != nil {
		return list, say.Errorf(errs.Invalid, "%s cannot be read: %s", file, errs.Cause(err))
	}
	config, err := queues.Parse(file, text)
	if err != nil {
		return list, err
	}
	return c.SetQueues(ctx, config)
}

// tellQueues draws a table of queues, and names who waits.
func tellQueues(out io.Writer, list client.QueueList) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "QUEUE\tSHARE\tMAX\tUSED\tRUNNING\tWAITING\tEXECUTORS")
	depth := map[string]int{}
	for _, q := range list.Queues {
		if q.Parent == "" {
			continue // all of it
		}
		depth[q.Name] = depth[q.Parent] + 1
		more := ""
		if q.Wanted > 0 {
			more = fmt.Sprintf(" (%d more wanted)", q.Wanted)
		}
		fmt.Fprintf(table, "%*s%s\t%s\t%s\t%s\t%d\t%d\t%d%s\n", 2*(depth[q.Name]-1), "", q.Name, percent(q.Share),
			percent(q.Max), percent(q.Used), q.Running, q.Waiting, q.Executors, more)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, j := range list.Jobs {
		if j.Waits != "" {
			fmt.Fprintf(out, "%s in %s: %s\n", short(j.Job), j.Queue, j.Waits)
		}
	}
	return nil
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

func newNodes(p *program) *cobra.Command {
	var json bool
	cmd := verb{
		use: "nodes [flags]", does: "Lists a cluster's machines and what runs there.",
		examples: []string{"runner nodes --cluster demo", "runner nodes --json", "runner nodes | grep down"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.withControl(cmd.Context(), func(ctx context.Context,
			c *client.Client) error {
			return p.nodes(ctx, c, json)
		})
	})
	addJSON(cmd.Flags(), &json)
	p.addCluster(cmd.Flags())
	return cmd
}

func (p *program) nodes(ctx context.Context, c *client.Client, json bool) error {
	list, err := c.Nodes(ctx)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, list)
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tSTATE\tADDRESS\tCORES\tMEMORY\tEXECUTORS")
	for _, n := range list.Nodes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d of %d\t%s of %s\t%d\n", n.Name, n.State, n.Address, n.Used.Cores, n.Total.Cores,
			format.Bytes(n.Used.Memory), format.Bytes(n.Total.Memory), n.Executors)
	}
	return table.Flush()
}
