package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
)

// What the local provider's modules tell the program in its environment, where others can't read it.
const (
	specEnv    = "RUNNER_CLUSTER_SPEC"    // JSON: a local.Cluster
	secretsEnv = "RUNNER_CLUSTER_SECRETS" // JSON: secrets by name
)

type nodeInitOptions struct {
	machine string
	secrets string
	notices string
	// Of an instance of a cloud. Its user-data says them.
	provider string
	duty     nodeinit.Duty
	idle     time.Duration

	host    string
	make    bool
	unmake  bool
	deadman bool
}

func (o *nodeInitOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "A machine that is a process", func(f *pflag.FlagSet) {
		f.StringVar(&o.machine, "machine", "", "`FILE` that describes the machine")
		f.StringVar(&o.secrets, "secrets", "", "`FOLDER` of the cluster's secrets")
		f.StringVar(&o.notices, "notices", "", "`URL` of the metadata service that says when the machine must end")
	})
	grouped(flags, "A machine of a cloud", func(f *pflag.FlagSet) {
		f.StringVar(&o.provider, "provider", "", "`WHOSE` machine it is: aws")
		f.StringVar(&o.duty.Cluster, "cluster", "", "`NAME` of the fleet")
		f.StringVar((*string)(&o.duty.Role), "role", "", "`ROLE` of the machine: server or worker")
		f.StringVar(&o.duty.Bucket, "bucket", "", "`BUCKET` with the programs, for reports and jobs")
		f.IntVar(&o.duty.Servers, "servers", 1, "`N` servers that there are to be")
		f.StringVar((*string)(&o.duty.Driver), "driver", "",
			"`DRIVER` of Nomad by which containers are started; exec by default")
		f.DurationVar(&o.idle, "idle", 0, "`TIME` without a job after which servers end the fleet; 0: never")
		f.StringToStringVar(&o.duty.Programs, "program", nil, "`NAME=SHA256` of a program to fetch; repeat it")
	})
	grouped(flags, "A cluster on this host", func(f *pflag.FlagSet) {
		f.StringVar(&o.host, "host", "", "`FOLDER` of the cluster")
		f.BoolVar(&o.make, "make", false, "make the part that is described")
		f.BoolVar(&o.unmake, "unmake", false, "remove the part that is named")
		f.BoolVar(&o.deadman, "deadman", false, "remove everything when the cluster's time has come")
	})
}

func newNodeInit(p *program) *cobra.Command {
	var o nodeInitOptions
	cmd := verb{
		use: "node-init [PART] [flags]", does: "Makes a member of a fleet out of a machine that has just booted.",
		hidden: true,
	}.command(func(cmd *cobra.Command, args []string) error {
		return p.nodeInit(cmd.Context(), o, args)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) nodeInit(ctx context.Context, o nodeInitOptions, args []string) error {
	host := local.Host{Dir: o.host}
	switch {
	case o.provider != "":
		return p.bootInstance(ctx, o)
	case o.host == "":
		return p.bootMachine(ctx, o)
	case o.deadman:
		return host.Deadman(ctx)
	case len(args) != 1:
		return say.Errorf(errs.Invalid, "node-init --host needs one PART")
	case o.make:
		return makePart(ctx, host, args[0])
	case o.unmake:
		return host.Unmake(ctx, args[0], local.DrainTime)
	}
	return say.Errorf(errs.Invalid, "node-init --host makes or unmakes a PART")
}

// bootMachine is a machine's life.
func (p *program) bootMachine(ctx context.Context, o nodeInitOptions) error {
	if o.machine == "" {
		return say.Errorf(errs.Unsupported, "this machine is not described; say --machine FILE")
	}
	options := nodeinit.Options{Resolve: newResolver(""), Log: slog.New(slog.NewTextHandler(p.err, nil))}
	if o.notices != "" {
		options.Notices = nodeinit.NewMetadata(o.notices, nodeinit.MetadataOptions{})
	}
	return nodeinit.Run(ctx, nodeinit.Files{Description: o.machine, Secrets: o.secrets}, options)
}

// bootInstance is the life of a machine of a cloud.
func (p *program) bootInstance(ctx context.Context, o nodeInitOptions) error {
	if o.provider != deploy.AWS {
		return say.Errorf(errs.Invalid, "there are no machines of %q; say --provider %s", o.provider, deploy.AWS)
	}
	if err := o.duty.Check(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(p.err, nil))
	i, err := nodeinit.NewInstance(ctx, o.duty, log)
	if err != nil {
		return err
	}
	return nodeinit.Run(ctx, i, nodeinit.Options{Resolve: newResolver(""), Notices: i, Idle: o.idle, Log: log})
}

func makePart(ctx context.Context, host local.Host, text string) error {
	var part local.Part
	var cluster local.Cluster
	secrets := map[string]string{}
	if err := errors.Join(json.Unmarshal([]byte(text), &part),
		json.Unmarshal([]byte(cmp.Or(os.Getenv(specEnv), "null")), &cluster),
		json.Unmarshal([]byte(cmp.Or(os.Getenv(secretsEnv), "null")), &secrets)); err != nil {
		return errs.E("node-init", errs.Invalid, text, err)
	}
	return host.Make(ctx, part, cluster, secrets)
}
