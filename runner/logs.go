package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

type logsOptions struct {
	task   string
	follow bool
	json   bool
}

func (o *logsOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "Which lines", func(f *pflag.FlagSet) {
		f.StringVar(&o.task, "task", "", "`TASK` as in map-3 or m3: all of its attempts, and nothing else")
		f.BoolVar(&o.follow, "follow", false, "go on until the job is over")
	})
	addJSON(flags, &o.json)
}

func newLogs(p *program) *cobra.Command {
	var o logsOptions
	cmd := verb{
		use:      "logs ID [flags]",
		does:     "Shows what a job's processes and tasks have said.",
		more:     "Every line begins with its file; the files are in logs/ID of the home folder (~/.runner or $RUNNER_HOME).",
		examples: []string{"runner logs 7k2f", "runner logs 7k2f --task map-3", "runner logs 7k2f --follow"},
	}.ofJob(p, func(ctx context.Context, at place, job scheduler.Job) error {
		return p.logs(ctx, o, at, job)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) logs(ctx context.Context, o logsOptions, at place, job scheduler.Job) error {
	files, err := logsOf(at, job)
	if err != nil {
		return err
	}
	t := &tail{files: files, out: p.out, json: o.json, read: map[string]int64{}}
	if o.task != "" {
		var err error
		if t.prefix, err = taskPrefix(o.task); err != nil {
			return err
		}
	}
	for {
		status, err := at.Status(ctx, job) // before reading, or the last lines might be missed
		if err != nil {
			return err
		}
		last := !o.follow || status.State.Final() || status.Interrupted
		if err := t.print(ctx, last); err != nil {
			return err
		}
		if last {
			break
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return nil // whoever watched has seen enough
		}
	}
	if !t.found && o.task != "" {
		return say.Errorf(errs.NotFound, "there is no log of a task %s in job %s. "+
			"`runner status %[2]s --json` lists its tasks", o.task, job.ID)
	}
	return nil
}

// taskPrefix returns how the logs of a task's attempts begin. m3, r3 and t3 are short for map-3, reduce-3 and task-3.
func taskPrefix(text string) (string, error) {
	for letter, stage := range map[string]string{"m": "map-", "r": "reduce-", "t": "task-"} {
		if number, ok := strings.CutPrefix(text, letter); ok && number != "" && strings.Trim(number, "0123456789") == "" {
			text = stage + number
		}
	}
	task, err := scheduler.ParseTaskID(text)
	if err != nil {
		return "", say.Errorf(errs.Invalid, "%q is not a task; say map-3, or m3", text)
	}
	return task.String() + ".", nil
}

// logFiles are the logs of a job, wherever they lie.
type logFiles interface {
	// List returns the names that there are at the moment, in order.
	List(ctx context.Context) ([]string, error)
	// Read returns a piece of one, from a byte on; nothing at its end. One that is gone is errs.NotFound.
	Read(ctx context.Context, name string, from int64) ([]byte, error)
}

func logsOf(at place, job scheduler.Job) (logFiles, error) {
	if f, ok := at.(*fleet.Fleet); ok {
		return f.Lines(job.ID)
	}
	return logFolder(at.(*embedded.Home).Logs(job.ID)), nil
}

// logFolder is the logs of a job on this machine.
type logFolder string

func (dir logFolder) List(context.Context) (names []string, err error) {
	entries, err := os.ReadDir(string(dir)) // in the order of their names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.E("logs", errs.Other, string(dir), err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// logPiece is how much of a log is read at a time, in bytes.
const logPiece = 1 << 20

func (dir logFolder) Read(_ context.Context, name string, from int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(dir), name))
	if err != nil {
		return nil, errs.E("logs", errs.Other, name, err)
	}
	defer f.Close() // nothing was written
	text := make([]byte, logPiece)
	n, err := f.ReadAt(text, from)
	if err != nil && err != io.EOF {
		return nil, errs.E("logs", errs.Other, name, err)
	}
	return text[:n], nil
}

// tail prints what is new in the logs of a job.
type tail struct {
	files  logFiles
	prefix string // of the files' names
	out    io.Writer
	json   bool
	found  bool             // there is a file of that prefix
	read   map[string]int64 // bytes of each file that were printed
}

// logLine is one line in JSON.
type logLine struct {
	File string `json:"file"`
	Line string `json:"line"`
}

// print prints what the files have got since the last look. A line that is not whole yet waits, unless this look is the
// last.
func (t *tail) print(ctx context.Context, last bool) error {
	names, err := t.files.List(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if file := path.Base(name); !strings.HasPrefix(file, t.prefix) || !strings.HasSuffix(file, ".log") {
			continue
		}
		t.found = true
		if err := t.printFile(ctx, name, last); err != nil {
			return errs.E("logs", errs.Other, name, err)
		}
	}
	return nil
}

func (t *tail) printFile(ctx context.Context, name string, last bool) error {
	for {
		text, err := t.files.Read(ctx, name, t.read[name])
		if errs.KindOf(err) == errs.NotFound {
			return nil // the oldest of a log's files has just gone
		}
		if err != nil {
			return err
		}
		whole := bytes.LastIndexByte(text, '\n') + 1
		if whole == 0 && (last || len(text) >= logPiece) { // which no line should be
			whole = len(text)
		}
		if whole == 0 {
			return nil
		}
		t.read[name] += int64(whole)
		file := strings.TrimSuffix(path.Base(name), ".log")
		for line := range strings.Lines(string(text[:whole])) {
			if err := t.printLine(file, strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
	}
}

func (t *tail) printLine(file, line string) error {
	if t.json {
		return writeJSON(t.out, logLine{file, line})
	}
	_, err := fmt.Fprintf(t.out, "%-14s %s\n", file, line)
	return err
}
