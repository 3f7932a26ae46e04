package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type versionOptions struct {
	json bool
}

func (o *versionOptions) AddFlags(flags *pflag.FlagSet) { addJSON(flags, &o.json) }

func newVersion(p *program) *cobra.Command {
	var o versionOptions
	cmd := verb{
		use:      "version [flags]",
		does:     "Says which build this is.",
		examples: []string{"runner version", "runner version --json", "runner version --json | jq -r .revision"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.version(o)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// build is what is known of this binary.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`     // of the revision
	Modified bool   `json:"modified,omitempty"` // there were changes that no revision has
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildInfo() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (p *program) version(o versionOptions) error {
	b := buildInfo()
	if o.json {
		return writeJSON(p.out, b)
	}
	line := "runner " + b.Version
	if b.Revision != "" {
		line += ", revision " + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			line += " with changes"
		}
	}
	_, err := fmt.Fprintf(p.out, "%s, %s, %s\n", line, b.Go, b.Platform)
	return err
}
