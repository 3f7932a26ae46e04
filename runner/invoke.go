package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fnhost"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/scheduler"
)

type invokeOptions struct {
	data  string
	key   string
	async bool
	json  bool
}

// AddFlags adds the flags of `runner invoke`.
func (o *invokeOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "What it is handed", func(f *pflag.FlagSet) {
		f.StringVarP(&o.data, "data", "d", "", "`EVENT`, or @FILE; standard input by default, {} if that is empty")
		f.StringVar(&o.key, "key", "", "`TEXT` by which a retry gets the first result, for a day")
	})
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.async, "async", false, "print an ID as soon as the event is safe, for runner result")
		f.BoolVar(&o.json, "json", false, "answer in JSON, with names that stay")
	})
}

func newInvoke(p *program) *cobra.Command {
	var o invokeOptions
	cmd := verb{
		use:  "invoke NAME [flags]",
		does: "Hands a function an event and prints its answer.",
		more: "NAME may be NAME@ALIAS or NAME@VERSION. " +
			"What fails is tried again as function.yaml says; after the last attempt the\n" +
			"event is a dead letter (`runner fn dead`). Interrupting it ends the waiting, not the work.\n" +
			"A function of kind mapreduce or guagua runs its job: input, " +
			"output and overwrite of the event are the job's, every\n" +
			"other key is a parameter, as with --set.",
		examples: []string{
			`runner invoke greet -d '{"name":"you"}'`,
			"runner invoke resize -d @picture.png > small.png",
			"runner invoke greet --async --key order-17 -d @order.json",
		},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "the NAME of a function"); err != nil {
			return err
		}
		return p.invoke(cmd.Context(), o, args[0])
	})
	o.AddFlags(cmd.Flags())
	p.addCluster(cmd.Flags())
	return cmd
}

func (p *program) invoke(ctx context.Context, o invokeOptions, name string) error {
	at, end, err := p.openFunctions(ctx)
	if err != nil {
		return err
	}
	defer end()
	v, err := at.resolve(ctx, name)
	if err != nil {
		return err
	}
	event, err := o.event()
	if err != nil {
		return err
	}
	if v.Manifest.Kind != pack.Handler {
		return p.invokeJob(ctx, at, v, event, o)
	}
	if o.key == "" {
		o.key = rand.Text() // should the host die meanwhile, it is asked again
	}
	a, err := at.Invoke(ctx, invoke.Request{Function: name, Key: o.key, Event: event, Async: o.async})
	if err != nil {
		return p.toldDead(a, err)
	}
	if o.async {
		return p.tellAccepted(a.ID, o.json)
	}
	return p.tellResult(a, o.json)
}

// toldDead adds to the error of an invocation that failed what can be done with it.
func (p *program) toldDead(a fnhost.Answer, err error) error {
	if a.ID == "" || errs.Retryable(err) {
		return err
	}
	return say.Errorf(errs.KindOf(err), "%s. `runner fn log %s` has what it said",
		strings.TrimRight(say.Sentence(err), "."), a.ID)
}

// event returns what the function is handed.
func (o invokeOptions) event() ([]byte, error) {
	var in io.Reader = os.Stdin
	name, isFile := strings.CutPrefix(o.data, "@")
	switch {
	case isFile:
		f, err := os.Open(name)
		if err != nil {
			return nil, say.Errorf(errs.Invalid, "-d @%s cannot be read: %s", name, errs.Cause(err))
		}
		defer f.Close() // only read
		in = f
	case o.data != "":
		return []byte(o.data), nil
	case term.IsTerminal(int(os.Stdin.Fd())):
		return []byte("{}"), nil
	}
	event, err := io.ReadAll(io.LimitReader(in, invoke.MaxPayload+1)) // one more tells a longer one
	if err != nil {
		return nil, say.Errorf(errs.Invalid, "the event cannot be read: %s", errs.Cause(err))
	}
	if len(event) > invoke.MaxPayload {
		return nil, say.Errorf(errs.Invalid, "the event has more than %d MiB; hand over where it is instead",
			invoke.MaxPayload>>20)
	}
	if len(event) == 0 && !isFile {
		event = []byte("{}")
	}
	return event, nil
}

// tellAccepted prints the id of an invocation.
func (p *program) tellAccepted(id invoke.ID, json bool) error {
	if json {
		return writeJSON(p.out, map[string]invoke.ID{"invocation": id})
	}
	_, err := fmt.Fprintln(p.out, id)
	return err
}

// tellResult prints a result as it is; text gets the end of its line.
func (p *program) tellResult(a fnhost.Answer, asJSON bool) error {
	if asJSON {
		doc := map[string]any{"invocation": a.ID, "result": json.RawMessage(a.Result)}
		if !json.Valid(a.Result) {
			doc["result"] = a.Result // as base64
		}
		return writeJSON(p.out, doc)
	}
	text := a.Result
	if json.Valid(text) && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	_, err := p.out.Write(text)
	return err
}

func newResult(p *program) *cobra.Command {
	var json bool
	cmd := verb{
		use:  "result ID [flags]",
		does: "Prints the answer of an invocation, when it is there.",
		more: "Answers are kept for a day, dead letters until they are redriven or too many.",
		examples: []string{"runner result k3f7q2m4xw5d6abc", "runner result k3f7q2m4xw5d6abc --json",
			"id=$(runner invoke greet --async -d '{}'); runner result $id"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "the ID of an invocation"); err != nil {
			return err
		}
		return p.result(cmd.Context(), args[0], json)
	})
	addJSON(cmd.Flags(), &json)
	p.addCluster(cmd.Flags())
	return cmd
}

func (p *program) result(ctx context.Context, id string, json bool) error {
	at, end, err := p.openFunctions(ctx)
	if err != nil {
		return err
	}
	defer end()
	a, err := at.result(ctx, invoke.ID(id))
	if err != nil {
		return p.toldDead(a, err)
	}
	return p.tellResult(a, json)
}

// invokeJob runs the job of a function, as `runner run` does.
func (p *program) invokeJob(
	ctx context.Context, at functionPlace, v pack.Version, event []byte, o invokeOptions,
) error {
	if o.key != "" {
		return say.Errorf(errs.Unsupported, "--key is for handlers; %s runs a job, which has an id of its own", v.Name)
	}
	dir, err := os.Getwd()
	if err != nil {
		return errs.E("invoke", errs.Other, nil, err)
	}
	folder, err := pack.Fetch(ctx, at.Jobs().Store, v.Package, filepath.Join(at.dir, "packages"))
	if err != nil {
		return err
	}
	job, err := functionJob(ctx, v, folder, event, dir)
	if err != nil {
		return err
	}
	if job, err = submit(ctx, at.place, job); err != nil {
		return err
	}
	watch := watchOptions{json: o.json}
	if o.async {
		return p.leaveTo(ctx, at.place, job, watch)
	}
	return p.supervise(ctx, at.place, job, watch)
}

// submitFunction leaves the job of a function to a supervisor of its own.
func (p *program) submitFunction(ctx context.Context, v pack.Version, folder string, event []byte) (string, error) {
	home, err := embedded.OpenHome()
	if err != nil {
		return "", err
	}
	job, err := functionJob(ctx, v, folder, event, "/")
	if err != nil {
		return "", err
	}
	if job, err = submit(ctx, home, job); err != nil {
		return "", err
	}
	return string(job.ID), background(home, job.ID)
}

// checkEntry checks the specification of a function that is a job.
func checkEntry(folder string, m pack.Manifest) error {
	if m.Kind == pack.Handler {
		return nil
	}
	_, err := entrySpec(folder, m)
	return err
}

// entrySpec reads the specification of a function that is a job.
func entrySpec(folder string, m pack.Manifest) (spec.Spec, error) {
	file := filepath.Join(folder, m.Entry)
	specs, err := specsOfFile(file)
	switch {
	case err != nil:
		return spec.Spec{}, err
	case len(specs) != 1:
		return spec.Spec{}, say.Errorf(errs.Invalid, "%s has %d jobs; a function is one", file, len(specs))
	case specs[0].Kind != string(m.Kind):
		return spec.Spec{}, say.Errorf(errs.Invalid, "%s is a job of kind %s, and function.yaml says %s", file,
			specs[0].Kind, m.Kind)
	}
	return specs[0], nil
}

// functionJob makes the job of a function, whose package lies in folder. Paths of the event are meant from dir, those
// of the specification from folder.
func functionJob(ctx context.Context, v pack.Version, folder string, event []byte, dir string) (scheduler.Job, error) {
	s, err := entrySpec(folder, v.Manifest)
	if err != nil {
		return scheduler.Job{}, err
	}
	flags, err := flagsOf(event, dir)
	if err != nil {
		return scheduler.Job{}, err
	}
	if err := flags.Apply(&s); err != nil {
		return scheduler.Job{}, err
	}
	s.Name = v.Name
	return jobIn(ctx, s, folder)
}

// flagsOf reads an event as the flags of a job.
func flagsOf(event []byte, dir string) (flags spec.Flags, err error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(event, &keys); err != nil {
		return flags, say.Errorf(errs.Invalid, "the event of a job is a mapping in JSON, as in {\"input\": \"logs/\"}: %s",
			errs.Cause(err))
	}
	for key, value := range keys {
		switch key {
		case "input":
			var one string
			if err := json.Unmarshal(value, &one); err == nil {
				flags.Input = []string{one}
			} else if err := json.Unmarshal(value, &flags.Input); err != nil {
				return flags, say.Errorf(errs.Invalid, "input of the event is a path, or a list of paths")
			}
		case "output":
			if err := json.Unmarshal(value, &flags.Output); err != nil {
				return flags, say.Errorf(errs.Invalid, "output of the event is a path")
			}
		case "overwrite":
			if err := json.Unmarshal(value, &flags.Overwrite); err != nil {
				return flags, say.Errorf(errs.Invalid, "overwrite of the event is true or false")
			}
		default:
			text, err := parameter(value)
			if err != nil {
				return flags, say.Errorf(errs.Invalid, "%s of the event is no text, number, true or false, as parameters are", key)
			}
			flags.Set = append(flags.Set, key+"="+text)
		}
	}
	for i, in := range flags.Input {
		if flags.Input[i], err = spec.URI(in, dir); err != nil {
			return flags, err
		}
	}
	if flags.Output != "" {
		flags.Output, err = spec.URI(flags.Output, dir)
	}
	return flags, err
}

// parameter is a plain value of JSON as a text.
func parameter(value json.RawMessage) (string, error) {
	var text string
	if err := json.Unmarshal(value, &text); err == nil {
		return text, nil
	}
	if bytes.ContainsAny(value[:1], "[{n") {
		return "", errs.Errorf("invoke.parameter", errs.Invalid, nil, "%s", value)
	}
	return string(value), nil
}
