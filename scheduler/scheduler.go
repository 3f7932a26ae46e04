// Package scheduler runs jobs: it knows tasks, attempts and containers, and nothing of what they compute.
//
// This package is the vocabulary and the seam to the engines; the folders below it do the work:
//
//	am         the application master of one job: plan, attempts, ledger, commit
//	executor   the process that pulls attempts from an application master and runs them
//	amrpc      what the two say to each other, over rpc
//	launch     who starts processes: local (this machine, by way of proc), nomad (a fleet)
//	queue      which job may start, which must wait, which must give way
//	roster     what the decisions of queue add up to, kept in a journal
//	cron       what starts by the clock
//
// An engine (mapreduce, guagua) turns a job into a Plan, and an attempt's payload into a result. State travels back as
// attempt events only: no engine calls the application master.
//
//	client ── spec ──▶ launcher ──▶ am ── Plan/Cut/Payload ──▶ engine
//	                                │ ▲
//	                        attempts│ │results, heartbeats
//	                                ▼ │
//	                            executors ── Run ──▶ body (the engine's other half)
package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// JobID names a job for ever: four characters of chance, a dash and the job's name, as in "7k2f-wordcount". People may
// type any prefix that is unique.
type JobID string

var jobID = regexp.MustCompile(`^[a-z2-7]{4,8}-[a-z0-9][a-z0-9._-]{0,62}$`)

// ParseJobID checks a whole job id.
func ParseJobID(text string) (JobID, error) {
	if !jobID.MatchString(text) {
		return "", errs.Errorf("scheduler.ParseJobID", errs.Invalid, text, "not a job id")
	}
	return JobID(text), nil
}

// TaskID names one task of a job: its stage and its number in it, from 0. Written "map-3".
type TaskID struct {
	Stage string
	Index int
}

func (t TaskID) String() string { return t.Stage + "-" + strconv.Itoa(t.Index) }

// ParseTaskID is the inverse of TaskID.String.
func ParseTaskID(text string) (TaskID, error) {
	i := strings.LastIndexByte(text, '-')
	if i > 0 {
		if n, err := strconv.Atoi(text[i+1:]); err == nil && n >= 0 && strconv.Itoa(n) == text[i+1:] {
			return TaskID{text[:i], n}, nil
		}
	}
	return TaskID{}, errs.Errorf("scheduler.ParseTaskID", errs.Invalid, text, "want STAGE-NUMBER, as in map-3")
}

// MarshalText and UnmarshalText make ids readable in JSON, also as keys of maps.
func (t TaskID) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is ParseTaskID.
func (t *TaskID) UnmarshalText(b []byte) (err error) { *t, err = ParseTaskID(string(b)); return err }

// AttemptID names one try at a task; tries are numbered from 0 over the whole life of the job, also across application
// masters. Written "map-3.1".
type AttemptID struct {
	Task TaskID
	N    int
}

func (a AttemptID) String() string { return fmt.Sprintf("%s.%d", a.Task, a.N) }

// ParseAttemptID is the inverse of AttemptID.String.
func ParseAttemptID(text string) (AttemptID, error) {
	if i := strings.LastIndexByte(text, '.'); i > 0 {
		t, err := ParseTaskID(text[:i])
		n, err2 := strconv.Atoi(text[i+1:])
		if err == nil && err2 == nil && n >= 0 && strconv.Itoa(n) == text[i+1:] {
			return AttemptID{t, n}, nil
		}
	}
	return AttemptID{}, errs.Errorf("scheduler.ParseAttemptID", errs.Invalid, text, "want TASK.NUMBER, as in map-3.1")
}

// MarshalText writes String.
func (a AttemptID) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAttemptID.
func (a *AttemptID) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAttemptID(string(b))
	return err
}

// JobState is where a job stands. The words are MapReduce's; the last three are final.
type JobState string

// The states of a job.
const (
	JobSubmitted  JobState = "SUBMITTED"  // accepted, nothing started
	JobQueued     JobState = "QUEUED"     // waits for its share of the machines
	JobRunning    JobState = "RUNNING"    // an application master is at work
	JobCommitting JobState = "COMMITTING" // past the point of no return: the output will be published
	JobSucceeded  JobState = "SUCCEEDED"  // the output is published and proved
	JobFailed     JobState = "FAILED"     // nothing was published
	JobKilled     JobState = "KILLED"     // somebody said so before the point of no return
)

// Final reports whether the state never changes again.
func (s JobState) Final() bool { return s == JobSucceeded || s == JobFailed || s == JobKilled }

// AttemptState is where an attempt stands. Only FAILED counts against the job.
type AttemptState string

// The states of an attempt.
const (
	AttemptRunning   AttemptState = "RUNNING"   // an executor has it
	AttemptSucceeded AttemptState = "SUCCEEDED" // its result is in the ledger
	AttemptFailed    AttemptState = "FAILED"    // the user's fault: counted, the job allows Retry.Task of them per task
	AttemptLost      AttemptState = "LOST"      // the machine's fault: node, executor or input vanished; not counted
	AttemptKilled    AttemptState = "KILLED"    // lost the race against another attempt, or was told to end
)

// Job is a submitted job as everything below the command line sees it. It is written once, as jobs/<id>/job.json, and
// never changes. Unknown fields are ignored, so that two versions can share a fleet.
type Job struct {
	ID        JobID             `json:"id"`
	Kind      string            `json:"kind"` // which engine: mapreduce, guagua, task
	Name      string            `json:"name"`
	Submitted time.Time         `json:"submitted"`
	User      string            `json:"user,omitempty"`
	Input     []string          `json:"input,omitempty"`  // absolute URIs: file:///a/b, s3://bucket/key; globs allowed
	Output    string            `json:"output,omitempty"` // an absolute URI
	Overwrite bool              `json:"overwrite,omitempty"`
	Package   string            `json:"package,omitempty"` // absolute path or URI of the binary or archive with it
	Files     []File            `json:"files,omitempty"`   // that all tasks find; see package cache
	Resources Resources         `json:"resources"`
	Queue     string            `json:"queue,omitempty"`
	Priority  int               `json:"priority,omitempty"` // in its queue: higher is first; 0 to 100
	Retry     Retry             `json:"retry"`
	Labels    map[string]string `json:"labels,omitempty"`
	Secrets   []string          `json:"secrets,omitempty"` // environment variables of who submits it, by name alone
	Engine    json.RawMessage   `json:"engine,omitempty"`  // the engine's own options, its kind's part of a spec
}

// File is a file that all tasks of a job find under a name.
type File struct {
	Name    string `json:"name"`
	URI     string `json:"uri"`               // an absolute URI: where it was when the job was submitted
	Archive bool   `json:"archive,omitempty"` // tasks find a folder with what is in it
	Size    int64  `json:"size"`              // in bytes
	SHA256  string `json:"sha256"`            // in hexadecimal digits
	Object  string `json:"object,omitempty"`  // the name of the job's own copy in the system's store; none: it is at URI
}

// Resources is what each executor of a job gets.
type Resources struct {
	Executors int   `json:"executors"`      // how many; 0: as many as help, at most one per core and CPU
	CPU       int   `json:"cpu"`            // cores of each executor = attempts that it runs at a time, 1 or more
	Memory    int64 `json:"memory"`         // bytes of each executor, all of it: buffers, heap and children
	GPUs      int   `json:"gpus,omitempty"` // of each executor; where nobody counts them, all that the machine has
}

// Retry bounds how often things are tried.
type Retry struct {
	Task int `json:"task"` // FAILED attempts of a task that fail the job; 4 by default
	Job  int `json:"job"`  // application masters; 2 by default, as YARN has it
	// Node is how many attempts may fail on a node before it gets no more of them, if they are many for what it has done
	// and there is another node; 3 by default.
	Node int `json:"node,omitempty"`
	// Timeout is how long an attempt may go without any news (progress, counters, status, log) before it is killed as
	// FAILED; 0: for ever.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// Plan is a compiled job: pure data, printable, compared with golden files.
type Plan struct {
	Stages []Stage `json:"stages"` // in an order in which every stage comes after its needs
}

// Stage is a set of tasks that do the same to different inputs.
type Stage struct {
	Name  string   `json:"name"`
	Needs []string `json:"needs,omitempty"` // stages that must be finished before this one starts
	Tasks []Task   `json:"tasks,omitempty"` // nil with Needs: Engine.Cut says, once the needs are finished

	// MayFail is how many of its tasks may fail for good while the job goes on without their outputs.
	MayFail int `json:"mayFail,omitempty"`
	// Backup allows a second attempt at a slow task beside the first. The result that comes first counts, and the other
	// attempt is killed.
	Backup bool `json:"backup,omitempty"`
	// Gang says that its tasks need each other, and those of other gangs that start with it, while they run: there must be
	// room for all of them at once, and an executor that runs one is busy until all are done.
	Gang bool `json:"gang,omitempty"`
}

// Task is one piece of work of a stage, at the place that TaskID.Index says.
type Task struct {
	Weight int64    `json:"weight"`          // bytes (or another unit of the stage) to work through, for progress
	Hosts  []string `json:"hosts,omitempty"` // nodes that have the input near, best first
}

// Output is what a finished task left behind.
type Output struct {
	Attempt AttemptID `json:"attempt"`
	Node    string    `json:"node"` // shuffle address (host:port) of the node whose disk has the attempt's files
	Data    []byte    `json:"data"` // the body's result, opaque here
}

// Outputs are the outputs of finished tasks, by stage name and task index. An entry with a zero Attempt.Task.Stage is
// not finished, or was given up (Stage.MayFail).
type Outputs map[string][]Output

// Engine is the half of an engine that runs inside the application master. Its methods are called by one goroutine at a
// time. What Plan and Cut return goes to the ledger, so that they are called once in the life of a job, by whichever
// application master comes first; an engine that wants to keep more writes it to its own objects before it returns.
type Engine interface {
	// Plan compiles the job. An error of kind Invalid, NotFound, Exist, Permission, Unsupported, Corrupt or Failed ends
	// the job at once, as from Cut; after any other the next application master asks again, and the last one gives up.
	Plan(ctx context.Context) (Plan, error)

	// Cut decides the tasks of a stage that the plan left open, knowing the outputs of the stages that it needs.
	Cut(ctx context.Context, stage string, in Outputs) ([]Task, error)

	// Payload says what an attempt at task is told. It is asked anew for each attempt, since inputs move when they are
	// lost and made again.
	Payload(ctx context.Context, task TaskID, in Outputs) ([]byte, error)

	// Commit publishes the job's output, everything or nothing, and returns what the history should keep of it (a JSON
	// document). It is called after the ledger says COMMITTING, perhaps again by a successor: the second time for the
	// same job it answers as the first. An error of kind Invalid, NotFound, Exist, Permission, Unsupported, Corrupt or
	// Failed says that nothing was published, nor ever will be, and fails the job. After any other error the job stays
	// COMMITTING until a successor's Commit has worked.
	Commit(ctx context.Context, in Outputs, counters Counters) (json.RawMessage, error)

	// Abort removes what unfinished and unpublished attempts left behind. It may be called at any time, and again.
	Abort(ctx context.Context) error
}

// Body is the half of an engine that runs inside executors. Run is called by many goroutines at once, at most one per
// core of the executor.
type Body interface {
	// Run does one attempt and returns its result, at most MaxOutput bytes. Files that later attempts read lie in
	// a.Dir when it returns. When ctx ends it stops soon, and its result is dropped. An error of kind Failed is the
	// user's and counts; one of kind Invalid is a mistake that no other attempt will mend, and the task fails at once; an
	// *InputLost (or several, joined) says that an earlier attempt's output is
	// gone; Unavailable, Corrupt, Exhausted and the rest count as failed too, since a retry may or may not help, and
	// are tried elsewhere when there is an elsewhere. A panic is a failed attempt, if it is not in a goroutine of the
	// body's own.
	Run(ctx context.Context, a Attempt, r Reporter) ([]byte, error)
}

// MaxOutput bounds the result of one attempt, in bytes, since results are kept in the ledger and in memory.
const MaxOutput = 1 << 20

// Attempt is one try at a task as a Body sees it.
type Attempt struct {
	Job     Job
	ID      AttemptID
	Payload []byte // from Engine.Payload
	Dir     string // a directory on the local disk, for this attempt alone, which a shuffle serves to others
	Scratch string // a directory on the local disk that is removed when the attempt ends
	Memory  int64  // bytes that this attempt may use
	Secret  string // authorises requests to the shuffle servers of this job's nodes
}

// Reporter takes an attempt's news while it runs. Its methods are cheap, never block and may be called by many
// goroutines.
type Reporter interface {
	// Progress says how much of the task's weight is done.
	Progress(done int64)
	// Count adds to a counter of this attempt. Only counters of the attempts whose result was taken count in the end.
	Count(group, name string, delta int64)
	// Status replaces the one line that people see beside the attempt.
	Status(line string)
	// Logf adds a line to the attempt's log.
	Logf(format string, args ...any)
}

// InputLost is the error of an attempt that could not read what an earlier attempt left: it counts against neither, and
// the earlier task runs again.
type InputLost struct {
	Attempt AttemptID // whose output is gone or damaged
	Sure    bool      // known for certain (not there, checksum differs), rather than unreachable so far
	Err     error
}

func (e *InputLost) Error() string { return fmt.Sprintf("output of %s is lost: %v", e.Attempt, e.Err) }
func (e *InputLost) Unwrap() error { return e.Err }

// Counters are sums by group and name, with Hadoop's names where Hadoop has one.
type Counters map[string]map[string]int64

// Add adds to one counter.
func (c Counters) Add(group, name string, delta int64) {
	g := c[group]
	if g == nil {
		g = map[string]int64{}
		c[group] = g
	}
	g[name] += delta
}

// Merge adds all of other.
func (c Counters) Merge(other Counters) {
	for group, names := range other {
		for name, v := range names {
			c.Add(group, name, v)
		}
	}
}

// Get returns a counter; one that was never added to is 0.
func (c Counters) Get(group, name string) int64 { return c[group][name] }
