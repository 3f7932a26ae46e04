package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/seed3322913c/runner/integration/queues"
)

// queue simulates full fleets. Its times are of this machine; what the queues had is the same everywhere.
func queue(_ context.Context, _ settings, title string) error {
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "machines\ttasks\tdecisions/s\tlongest round ms\tbusy\thad of guarantee\tleast of it\tfair\t\n")
	for _, o := range []queues.Options{{Nodes: 100, Tasks: 2000}, {Nodes: 1000, Tasks: 20_000},
		{Nodes: 10_000, Tasks: 100_000}} {
		r, err := queues.Run(o)
		if err != nil {
			return err
		}
		longest := float64(r.Longest) / float64(time.Millisecond)
		fmt.Fprintf(w, "%d\t%d\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", o.Nodes, o.Tasks,
			float64(r.Decisions)/r.Deciding.Seconds(), longest, r.Busy, r.Guarantee, r.Worst, r.Fair)
	}
	return w.Flush()
}
