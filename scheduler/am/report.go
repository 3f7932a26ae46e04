package am

import (
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/scheduler"
)

// Report is what is known of a job. Its JSON form is stable: fields are added, never renamed. Times are the application
// master's.
type Report struct {
	Job       scheduler.JobID    `json:"job"`
	Name      string             `json:"name"`
	Kind      string             `json:"kind"`
	State     scheduler.JobState `json:"state"`
	Message   string             `json:"message,omitempty"` // one sentence: why it ended so, or what is going on
	Submitted time.Time          `json:"submitted"`
	Started   time.Time          `json:"started,omitzero"` // when the first application master began
	Ended     time.Time          `json:"ended,omitzero"`
	Masters   int                `json:"masters"` // application masters so far
	Stages    []StageReport      `json:"stages,omitempty"`
	Counters  scheduler.Counters `json:"counters,omitempty"` // of the results taken, and of running attempts so far
	Result    json.RawMessage    `json:"result,omitempty"`   // what Engine.Commit returned
	Executors []ExecutorReport   `json:"executors,omitempty"`

	// Attempts in the order in which they started. In the reports of Client.Watch only those that run, and the latest
	// that went wrong.
	Attempts []AttemptReport `json:"attempts,omitempty"`
	Slowest  []AttemptReport `json:"slowest,omitempty"` // the slowest successful ones, at most 5 per stage
}

// StageReport is one stage of a job. Until its tasks are known it is Open and counts none.
type StageReport struct {
	Name    string    `json:"name"`
	Open    bool      `json:"open,omitempty"`
	Tasks   int       `json:"tasks"`
	Done    int       `json:"done"`              // tasks whose result is taken
	Running int       `json:"running"`           // attempts
	Failed  int       `json:"failed"`            // attempts
	Lost    int       `json:"lost"`              // attempts, and results that were lost later
	Killed  int       `json:"killed"`            // attempts
	GivenUp int       `json:"givenUp,omitempty"` // tasks that failed for good, which the job goes on without
	Weight  int64     `json:"weight"`            // of all tasks
	Worked  int64     `json:"worked"`            // of it: finished tasks, and what running attempts say they have done
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
}

// AttemptReport is one attempt.
type AttemptReport struct {
	ID       scheduler.AttemptID    `json:"id"`
	State    scheduler.AttemptState `json:"state"`
	Executor string                 `json:"executor"`
	Node     string                 `json:"node,omitempty"`
	Start    time.Time              `json:"start"`
	End      time.Time              `json:"end,omitzero"`
	Error    string                 `json:"error,omitempty"`
	Status   string                 `json:"status,omitempty"` // its own line, while it runs
	Done     int64                  `json:"done,omitempty"`   // of the task's weight, while it runs
}

// ExecutorReport is one executor process, as long as it lives.
type ExecutorReport struct {
	ID      string `json:"id"`
	Node    string `json:"node,omitempty"`
	Cores   int    `json:"cores"`
	Running int    `json:"running"`           // attempts
	Avoided bool   `json:"avoided,omitempty"` // gets no more attempts: too many failed there
}
