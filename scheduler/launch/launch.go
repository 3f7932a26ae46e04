// Package launch is the contract for starting processes: a group of containers that should run, and news of how they
// do.
//
// An application master says "three executors"; what a container is depends on the driver. Drivers: local (processes of
// this machine), mem (goroutines, for tests); a fleet's driver starts Nomad allocations. remote lets another process
// use any of them, fault wraps one for tests, and every driver passes the suite in launchtest. What local and mem have
// in common, restarting and telling, is in supervise.
//
//	Start ──▶ RUNNING ──exit 0──▶ DONE           a group is declared; the driver makes it so
//	            ▲  └──other──▶ EXITED ──delay──┐
//	            └──────────────────────────────┘ until Restart.Attempts are used up: then FAILED
package launch

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Launcher is the seam. All methods may be called by many goroutines, and processes, at once.
type Launcher interface {
	// Start makes sure that the group exists: it starts its containers unless a group of that ID was started before,
	// which is left as it is, and is no error. It returns when the group is declared; Watch tells what becomes of it.
	Start(ctx context.Context, g Group) error

	// Scale changes how many containers the group has. More are started; those with the highest indexes are stopped, as
	// Stop does. An unknown group fails with errs.NotFound.
	Scale(ctx context.Context, id GroupID, count int) error

	// Stop ends the group: every container is asked to end (SIGTERM) and, after Group.Grace, made to (SIGKILL of all
	// that it started). When Stop has returned nil none of them runs, and the group is forgotten. That there is no such
	// group is success. If ctx ends first, stopping goes on.
	Stop(ctx context.Context, id GroupID) error

	// Watch yields the latest event of each container of the group, then each later one; events of one container come
	// in order, and quick ones may be folded into the last. It may be called before Start. It ends after the first
	// error; ctx's end is such an error. That the group was stopped does not end it.
	Watch(ctx context.Context, id GroupID) iter.Seq2[Event, error]
}

// GroupID names a group for the life of its launcher: a job and a role, written "7k2f-wordcount/executor".
type GroupID struct {
	Job  scheduler.JobID `json:"job"`
	Role string          `json:"role"` // am, executor, ...
}

var role = regexp.MustCompile(`^[a-z][a-z0-9]{0,31}$`)

func (id GroupID) String() string { return string(id.Job) + "/" + id.Role }

// ParseGroupID is the inverse of GroupID.String.
func ParseGroupID(text string) (GroupID, error) {
	const op = "launch.ParseGroupID"
	job, r, _ := strings.Cut(text, "/")
	id, err := scheduler.ParseJobID(job)
	if err != nil {
		return GroupID{}, errs.E(op, errs.Other, text, err)
	}
	if !role.MatchString(r) {
		return GroupID{}, errs.Errorf(op, errs.Invalid, text, "want JOB/ROLE")
	}
	return GroupID{id, r}, nil
}

// Group is what should run: Count containers alike.
type Group struct {
	ID        GroupID             `json:"id"`
	Command   []string            `json:"command"`           // the program and its arguments; anybody may see them
	Env       map[string]string   `json:"env,omitempty"`     // added to the launcher's own environment
	Secrets   map[string]string   `json:"secrets,omitempty"` // handed over like Env, but never shown or logged
	Count     int                 `json:"count"`             // containers, 0 or more
	Resources scheduler.Resources `json:"resources"`         // of each container, for drivers that place or limit them
	// its cores are no one else's, for drivers that can see to it
	Exclusive bool          `json:"exclusive,omitempty"`
	Restart   Restart       `json:"restart"`
	Grace     time.Duration `json:"grace"`             // from asking it to end to making it; 0: DefaultGrace
	LogDir    string        `json:"log_dir,omitempty"` // where standard output and error go, as ROLE-INDEX.log
}

// DefaultGrace is how long a container may take to end by itself.
const DefaultGrace = 5 * time.Second

// Restart says what happens when a container ends with anything but exit code 0.
type Restart struct {
	Attempts int           `json:"attempts"` // how often it is started again; 0: never
	Delay    time.Duration `json:"delay"`    // before the first restart; doubles up to MaxDelay
	MaxDelay time.Duration `json:"max_delay"`
	Healthy  time.Duration `json:"healthy"` // who ran this long gets all attempts back; 0: nobody does
}

// Check returns an error of kind Invalid if g cannot be started.
func (g Group) Check() error {
	const op = "launch.Group"
	if _, err := ParseGroupID(g.ID.String()); err != nil {
		return err
	}
	switch {
	case len(g.Command) == 0 || g.Command[0] == "":
		return errs.Errorf(op, errs.Invalid, g.ID, "no command")
	case g.Count < 0:
		return errs.Errorf(op, errs.Invalid, g.ID, "%d containers", g.Count)
	case g.Restart.Attempts < 0 || g.Restart.Delay < 0 || g.Restart.MaxDelay < 0 || g.Grace < 0:
		return errs.Errorf(op, errs.Invalid, g.ID, "negative restart or grace")
	}
	for _, m := range []map[string]string{g.Env, g.Secrets} {
		for k, v := range m {
			if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
				return errs.Errorf(op, errs.Invalid, g.ID, "environment variable %q", k)
			}
		}
	}
	return nil
}

// Container names one run of one container: which of its group it is, and how often it was restarted before.
type Container struct {
	Role    string
	Index   int
	Restart int
}

// ContainerEnv is the environment variable that tells a container its own name.
const ContainerEnv = "RUNNER_CONTAINER"

// String writes "executor-3.1": container 3 of the executors, restarted once.
func (c Container) String() string { return fmt.Sprintf("%s-%d.%d", c.Role, c.Index, c.Restart) }

// LogName is the name of its log file, which the restarts of a container share.
func (c Container) LogName() string { return fmt.Sprintf("%s-%d.log", c.Role, c.Index) }

// ParseContainer is the inverse of Container.String.
func ParseContainer(text string) (Container, error) {
	i, j := strings.LastIndexByte(text, '-'), strings.LastIndexByte(text, '.')
	if 0 < i && i < j && role.MatchString(text[:i]) {
		index, err := strconv.Atoi(text[i+1 : j])
		restart, err2 := strconv.Atoi(text[j+1:])
		c := Container{text[:i], index, restart}
		if err == nil && err2 == nil && index >= 0 && restart >= 0 && c.String() == text {
			return c, nil
		}
	}
	return Container{}, errs.Errorf("launch.ParseContainer", errs.Invalid, text, "want ROLE-INDEX.RESTART")
}

// MarshalText writes String.
func (c Container) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is ParseContainer.
func (c *Container) UnmarshalText(b []byte) (err error) {
	*c, err = ParseContainer(string(b))
	return err
}

// State is where a container stands.
type State string

// The states of a container.
const (
	Running State = "RUNNING" // it was started
	Exited  State = "EXITED"  // it ended badly, and will be started again under the next restart number
	Done    State = "DONE"    // it ended with exit code 0, or was stopped; final
	Failed  State = "FAILED"  // it ended badly, or could not be started, and will not be tried again; final
)

// Over reports whether a container in state s has ended.
func (s State) Over() bool { return s != Running }

// Event says what became of a container.
type Event struct {
	Container Container `json:"container"`
	State     State     `json:"state"`
	Exit      Exit      `json:"exit"` // how it ended, if it did
}

// Exit says how a container ended.
type Exit struct {
	Code   int    `json:"code"`             // the exit code; -1 if it has none
	Signal string `json:"signal,omitempty"` // the signal that ended it, as in "killed"
	Error  string `json:"error,omitempty"`  // why it could not be started
}

// OK reports whether it ended by itself and content.
func (e Exit) OK() bool { return e == Exit{} }

// String says it for people: "exited with 2".
func (e Exit) String() string {
	switch {
	case e.Error != "":
		return "could not be started: " + e.Error
	case e.Signal != "":
		return "ended by signal " + e.Signal
	}
	return fmt.Sprintf("exited with %d", e.Code)
}
