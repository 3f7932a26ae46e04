package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/say"
)

func newToken(p *program) *cobra.Command {
	var json bool
	cmd := verb{
		use:  "token COMMAND [flags]",
		does: "Makes and removes tokens for a cluster's API.",
		more: "A token of role read looks at everything, submit also submits, kills and resumes jobs, " +
			"admin may do everything.\n" +
			"It is shown once, and kept as its checksum alone. Programs say it as Authorization: Bearer TOKEN.",
		examples: []string{"runner token create ci --role submit", "runner token ls --cluster demo",
			"runner token rm k3x9q2aa"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return say.Errorf(errs.Invalid, "token needs a command; see `runner help token`")
		}
		return say.Errorf(errs.Invalid, "token has no command %q.%s `runner help token` lists them", args[0],
			say.DidYouMean(args[0], verbNames(cmd)))
	})
	addJSON(cmd.PersistentFlags(), &json)
	p.addCluster(cmd.PersistentFlags())
	role := ""
	create := p.ofToken(verb{use: "create NAME [flags]", does: "Makes a token and prints it, once."}, "a NAME",
		func(ctx context.Context, c *client.Client, name string) error {
			return p.createToken(ctx, c, name, role, json)
		})
	grouped(create.Flags(), "What it may do", func(f *pflag.FlagSet) {
		f.StringVar(&role, "role", "read", "`ROLE`: read, submit or admin; read by default")
	})
	cmd.AddCommand(create,
		verb{use: "ls", does: "Lists the tokens."}.command(func(cmd *cobra.Command, args []string) error {
			if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
				return err
			}
			return p.withControl(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return p.listTokens(ctx, c, json)
			})
		}),
		p.ofToken(verb{use: "rm ID", does: "Makes a token worthless, within seconds."}, "the ID of a token",
			func(ctx context.Context, c *client.Client, id string) error { return c.RemoveToken(ctx, id) }),
	)
	return cmd
}

// ofToken makes a command about one token.
func (p *program) ofToken(v verb, what string,
	action func(context.Context, *client.Client, string) error) *cobra.Command {
	return v.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, what); err != nil {
			return err
		}
		return p.withControl(cmd.Context(), func(ctx context.Context, c *client.Client) error {
			return action(ctx, c, args[0])
		})
	})
}

func (p *program) createToken(ctx context.Context, c *client.Client, name, role string, json bool) error {
	made, err := c.CreateToken(ctx, name, role)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, made)
	}
	_, err = fmt.Fprintln(p.out, made.Text)
	return err
}

func (p *program) listTokens(ctx context.Context, c *client.Client, json bool) error {
	list, err := c.Tokens(ctx)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, list)
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tROLE\tMADE\tNAME")
	for _, t := range list.Tokens {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.ID, t.Role, t.Created.Local().Format(time.DateTime), t.Name)
	}
	return table.Flush()
}
