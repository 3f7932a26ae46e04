package local

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// The names in a cluster's folder. A machine has a folder of its own name.
const (
	secretsDir   = "secrets"   // a file for each: server/token and so on
	depotDir     = "depot"     // programs, and what the machines report
	binDir       = "bin"       // the programs that run
	deadlineFile = "deadline"  // when the dead-man switch fires
	deadmanName  = "deadman"   // the machine that is the switch
	machineFile  = "node.json" // in a machine's folder: its description
	initLog      = "node-init.log"
)

// file is a file or folder of the cluster's.
func (h Host) file(elem ...string) string { return filepath.Join(append([]string{h.Dir}, elem...)...) }

// environment is what the processes of a cluster find: nothing of whoever started them, and so no key of his.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
}

// Start starts a machine, if it does not run: a process of its own that outlives this one. One that was described
// otherwise is ended first.
func (h Host) Start(ctx context.Context, m nodeinit.Machine) error {
	const op = "local.Start"
	text, err := json.Marshal(m)
	if err != nil {
		return errs.E(op, errs.Internal, m.Name, err)
	}
	known, err := os.ReadFile(h.file(m.Name, machineFile))
	if err == nil && string(known) == string(text) && len(h.On(m.Name)) > 0 {
		return nil
	}
	if err := h.Stop(ctx, m.Name, 0); err != nil {
		return err
	}
	// Its parent is not made: when it is gone, so is the cluster.
	if err := os.Mkdir(h.file(m.Name), 0o700); err != nil {
		return errs.E(op, errs.Other, m.Name, err)
	}
	if err := os.WriteFile(h.file(m.Name, machineFile), text, 0o600); err != nil {
		return errs.E(op, errs.Other, m.Name, err)
	}
	_, err = h.Spawn(m.Name, h.file(m.Name, initLog), environment(), []string{
		h.file(binDir, "runner"), "node-init", "--machine", h.file(m.Name, machineFile), "--secrets", h.file(secretsDir),
	})
	return err
}

// Stop ends a machine: it may move its work elsewhere for so long, then it is killed, with all that it has left. That
// there is none is success. When ctx ends, the machine is left to end by itself.
func (h Host) Stop(ctx context.Context, machine string, drain time.Duration) error {
	const op = "local.Stop"
	leaders := func() []int { return slices.DeleteFunc(h.On(machine), func(pid int) bool { return !leads(pid) }) }
	if drain > 0 {
		for _, pid := range leaders() {
			_ = syscall.Kill(pid, syscall.SIGTERM) // it has ended meanwhile
		}
	}
	for deadline := time.Now().Add(drain); time.Now().Before(deadline) && len(leaders()) > 0; {
		if ctx.Err() != nil {
			return errs.E(op, errs.Canceled, machine, ctx.Err())
		}
		Pause()
	}
	if err := errors.Join(Kill(func() []int { return h.On(machine) }), Unmount(h.file(machine))); err != nil {
		return err
	}
	if err := os.RemoveAll(h.file(machine)); err != nil {
		return errs.E(op, errs.Other, machine, err)
	}
	if err := os.Remove(h.file(depotDir, "boot", machine)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E(op, errs.Other, machine, err)
	}
	return nil
}

// leads reports whether a process is a machine's `runner node-init`, which ends the others in order.
func leads(pid int) bool {
	words := CommandLine(pid)
	return len(words) > 1 && words[1] == "node-init"
}

// Machines returns the descriptions of the machines that were started, by name, whether they live or not.
func (h Host) Machines() ([]nodeinit.Machine, error) {
	const op = "local.Machines"
	files, err := filepath.Glob(h.file("*", machineFile))
	if err != nil {
		return nil, errs.E(op, errs.Invalid, h.Dir, err)
	}
	slices.Sort(files)
	var all []nodeinit.Machine
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is ended at this moment
		}
		if err != nil {
			return nil, errs.E(op, errs.Other, file, err)
		}
		m, err := nodeinit.ParseMachine(text)
		if err != nil {
			continue // it is written at this moment, or was cut off: nobody has started it
		}
		all = append(all, m)
	}
	return all, nil
}
