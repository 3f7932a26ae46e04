package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/runner/task"
)

type verifyOptions struct {
	json bool
}

func (o *verifyOptions) AddFlags(flags *pflag.FlagSet) { addJSON(flags, &o.json) }

func newVerify(p *program) *cobra.Command {
	var o verifyOptions
	cmd := verb{
		use:      "verify OUTPUT [flags]",
		does:     "Reads an output again and proves that it is what its job wrote.",
		more:     "Every part is compared with the length and checksum in _SUCCESS, and the job's totals must balance.",
		examples: []string{"runner verify out/words", "runner verify s3://bucket/counts", "runner verify out/words --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "an OUTPUT"); err != nil {
			return err
		}
		return p.verify(cmd.Context(), o, args[0])
	})
	o.AddFlags(cmd.Flags())
	p.addCluster(cmd.Flags())
	return cmd
}

func (p *program) verify(ctx context.Context, o verifyOptions, output string) error {
	if err := p.surround(output); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return errs.E("verify", errs.Other, nil, err)
	}
	uri, err := spec.URI(output, dir)
	if err != nil {
		return err
	}
	m, err := proof.Verify(ctx, newResolver(""), uri)
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, m)
	}
	noun, why := "part", proofLine(m.Totals)
	switch m.Kind {
	case engine.Kind:
		noun, why = "file", readOnce(m.Totals)+".\n"
	case task.Kind:
		noun, why = "file", tasksLine(m.Totals.SplitsRead)
	}
	_, err = fmt.Fprintf(p.out, "%s is whole: %s, %s, as job %s wrote it on %s.\n%s", say.Path(uri),
		format.Plural(int64(len(m.Parts)), noun), format.Bytes(m.Totals.OutputBytes), m.Job,
		m.Finished.Local().Format("2006-01-02 15:04:05"), why)
	return err
}
