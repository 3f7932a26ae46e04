package am

import (
	"encoding/json"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// record is one durable event of a job, JSON in the ledger. Exactly one field is set. Readers ignore what they don't
// know, so fields may be added.
type record struct {
	Began   *began   `json:"began,omitempty"`
	Resized *resized `json:"resized,omitempty"`
	Plan    *plan    `json:"plan,omitempty"`
	Cut     *cut     `json:"cut,omitempty"`
	Tasks   *tasks   `json:"tasks,omitempty"`
	Ended   *ended   `json:"ended,omitempty"`
	Gone    *gone    `json:"gone,omitempty"`
	Forgone *forgone `json:"forgone,omitempty"`
	Commit  *commit  `json:"commit,omitempty"`
	Final   *final   `json:"final,omitempty"`
}

// began is the first record of every application master.
type began struct {
	Session string `json:"session,omitempty"`
	Time    int64  `json:"time"` // Unix milliseconds, as all times here
}

// plan is the shape of the job. The tasks of its closed stages follow in tasks records; a plan of which some are
// missing was interrupted, and does not count.
type plan struct {
	Stages    []planStage `json:"stages"`
	Executors int         `json:"executors"` // how many the job wants from here on
}

type planStage struct {
	Name    string   `json:"name"`
	Needs   []string `json:"needs,omitempty"`
	Tasks   int      `json:"tasks"`             // how many; open: decided later by a cut
	MayFail int      `json:"mayFail,omitempty"` // as in scheduler.Stage
	Backup  bool     `json:"backup,omitempty"`  // as in scheduler.Stage
	Gang    bool     `json:"gang,omitempty"`    // as in scheduler.Stage
}

// open is the number of tasks of a stage whose tasks are decided later.
const open = -1

// resized says how many executors the job has from here on, because somebody wants it so.
type resized struct {
	Executors int `json:"executors"`
}

// cut decides an open stage. Its tasks follow, as in plan.
type cut struct {
	Stage     string `json:"stage"`
	Tasks     int    `json:"tasks"`
	Executors int    `json:"executors"`
}

// tasks are the next tasks of a stage. A stage comes in pieces, since an entry of the journal has a size.
type tasks struct {
	Stage string           `json:"stage"`
	Tasks []scheduler.Task `json:"tasks"`
}

// ended is an attempt that is over.
type ended struct {
	Attempt  scheduler.AttemptID    `json:"attempt"`
	State    scheduler.AttemptState `json:"state"` // not RUNNING
	Executor string                 `json:"executor"`
	Node     string                 `json:"node,omitempty"`
	Start    int64                  `json:"start"`
	End      int64                  `json:"end"`
	Error    string                 `json:"error,omitempty"`
	Inputs   []scheduler.AttemptID  `json:"inputs,omitempty"`   // what it could not read, if LOST for that
	Data     []byte                 `json:"data,omitempty"`     // the result, if SUCCEEDED
	Counters scheduler.Counters     `json:"counters,omitempty"` // if SUCCEEDED
}

// gone says that the output of a finished attempt no longer exists: its task is to be done again.
type gone struct {
	Attempt scheduler.AttemptID `json:"attempt"`
	Error   string              `json:"error,omitempty"`
}

// forgone says that a task failed for good, and that the job goes on without it.
type forgone struct {
	Task scheduler.TaskID `json:"task"`
}

// commit is the point of no return.
type commit struct {
	Time int64 `json:"time"`
}

// final is the end of the job.
type final struct {
	State   scheduler.JobState `json:"state"`
	Message string             `json:"message,omitempty"`
	Result  json.RawMessage    `json:"result,omitempty"`
	Time    int64              `json:"time"`
}

func (r record) encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil { // a result that is not JSON
		return nil, errs.E("am.record", errs.Internal, nil, err)
	}
	return b, nil
}

func parseRecord(b []byte) (record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, errs.E("am.record", errs.Corrupt, nil, err)
	}
	return r, nil
}
