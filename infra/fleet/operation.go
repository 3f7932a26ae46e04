package fleet

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// operation is what one process does to a fleet, alone among those of this home folder. It is written down while it
// goes on: what is still written when the kernel lock is free was killed.
type operation struct {
	lock    *os.File
	file    string
	killed  *note // the operation before, if it was killed
	settled bool  // since then Terraform has had the state's lock
	began   time.Time
	leave   func() error // the place of the state; nil if it is here
}

// note is what is written down.
type note struct {
	Verb    string    `json:"verb"`
	Process int       `json:"process"`
	Who     string    `json:"who"` // user@host, as Terraform calls the holder of a lock
	Started time.Time `json:"started"`
}

const (
	lockFile = "lock"
	noteFile = "operation.json"
)

// look is the operation that changes nothing, and is over soon.
const look = "a look"

// begin takes the fleet for one operation, or refuses with who has it. Who only looks is waited for.
func (f *Fleet) begin(ctx context.Context, verb string) (*operation, error) {
	const op = "fleet.begin"
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, errs.E(op, errs.Other, f.dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(f.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errs.E(op, errs.Other, f.name, err)
	}
	o := &operation{lock: lock, file: filepath.Join(f.dir, noteFile)}
	if err := o.take(ctx, f.name); err != nil {
		_ = lock.Close() // it was not taken
		return nil, err
	}
	if o.killed, err = readNote(o.file); err != nil {
		o.end()
		return nil, err
	}
	o.began = f.options.Now()
	started := o.began
	if o.killed != nil && o.killed.Started.Before(started) {
		started = o.killed.Started // a chain of killed operations began with the first
	}
	now := note{Verb: verb, Process: os.Getpid(), Who: whoAmI(), Started: started}
	if err := writeJSON(o.file, now); err != nil {
		o.end()
		return nil, err
	}
	return o, nil
}

// takeAgain is the time between two tries to take a fleet from who will be done with it soon.
const takeAgain = 50 * time.Millisecond

// take takes the kernel lock. Who has it and has noted nothing has just begun, or just ended.
func (o *operation) take(ctx context.Context, name string) error {
	tick := time.NewTicker(takeAgain)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(o.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return errs.E("fleet.take", errs.Other, name, err)
		}
		has, err := readNote(o.file)
		if err != nil {
			return err
		}
		if has != nil && has.Verb != look {
			return refuse(RuleLocked, "%s of %s by process %d has been under way since %s; wait until it is done",
				has.Verb, name, has.Process, has.Started.Local().Format(time.TimeOnly))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errs.E("fleet.take", errs.Canceled, name, ctx.Err())
		}
	}
}

func readNote(file string) (*note, error) {
	var n note
	found, err := readJSON(file, &n)
	if err != nil || !found {
		return nil, err
	}
	return &n, nil
}

// end gives the fleet back. What a killed operation has left stays noted until its lock on the state is known to be
// gone.
func (o *operation) end() {
	if o.leave != nil {
		_ = o.leave() // a claim that stays goes with the fleet
	}
	if o.killed == nil || o.settled {
		_ = os.Remove(o.file) // a note that stays only makes the next operation look more closely
	}
	_ = o.lock.Close() // which unlocks, and cannot fail in a way that keeps the lock
}

// mayBreak reports whether a lock on the state was left by the operation that was killed: its holder has this user and
// host, and took it since that began. That one is gone, since this one has the kernel lock.
func (o *operation) mayBreak(l stateLock) bool {
	// Terraform's clock is this host's; a second forgives that it counts them otherwise.
	return o.killed != nil && l.Who == o.killed.Who && !l.Created.Before(o.killed.Started.Add(-time.Second)) &&
		!l.Created.After(o.began)
}

// atWork reports whether a Terraform of this host works on a fleet of a name, from whatever home folder; only Linux
// says.
func atWork(name string) bool {
	processes, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, process := range processes {
		program, _ := os.ReadFile(filepath.Join(process, "comm")) // gone, or another user's: not ours
		dir, _ := os.Readlink(filepath.Join(process, "cwd"))
		if string(program) == "terraform\n" && strings.Contains(dir, filepath.Join("/", fleetsDir, name, workDir)+"/") {
			return true
		}
	}
	return false
}

// whoAmI names this user and host as Terraform does in its locks.
func whoAmI() string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname() // "" then, and no lock is taken for this host's
	return name + "@" + host
}
