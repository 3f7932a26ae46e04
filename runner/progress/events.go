package progress

import (
	"encoding/json"
	"io"
	"time"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Events is the View for programs: one JSON document a line. Names are stable; fields are added, never renamed.
//
//	{"event":"state","time":"...","job":"7k2f-wordcount","state":"RUNNING","masters":1}
//	{"event":"stage","time":"...","job":"7k2f-wordcount","name":"map","tasks":12,"done":3,"running":2,...}
//	{"event":"attempt","time":"...","job":"7k2f-wordcount","id":"map-3.0","state":"RUNNING","executor":"executor-0.0",...}
//	{"event":"message","time":"...","text":"..."}
//	{"event":"result",...}       the last one, written by the verb
type Events struct {
	encoder  *json.Encoder
	now      func() time.Time
	state    string
	masters  int
	message  string
	stages   map[string]am.StageReport
	attempts map[scheduler.AttemptID]scheduler.AttemptState
	seen     training
}

// NewEvents returns a view that writes events to out.
func NewEvents(out io.Writer, now func() time.Time) *Events {
	return &Events{
		encoder: json.NewEncoder(out), now: now, stages: map[string]am.StageReport{},
		attempts: map[scheduler.AttemptID]scheduler.AttemptState{},
	}
}

// head is what every event begins with.
type head struct {
	Event string          `json:"event"`
	Time  time.Time       `json:"time"`
	Job   scheduler.JobID `json:"job,omitempty"`
}

type stateEvent struct {
	head
	State   scheduler.JobState `json:"state"`
	Masters int                `json:"masters"` // application masters so far
	Message string             `json:"message,omitempty"`
}

type stageEvent struct {
	head
	am.StageReport
}

type attemptEvent struct {
	head
	am.AttemptReport
}

// iterationEvent is what a training job has come to. Not every iteration has one.
type iterationEvent struct {
	head
	Iteration  int                `json:"iteration"`
	Iterations int                `json:"iterations"`
	Values     map[string]float64 `json:"values"` // as in {"loss": 0.24}
	Rate       float64            `json:"perSecond"`
}

type messageEvent struct {
	head
	Text string `json:"text"`
}

func (e *Events) head(event string, job scheduler.JobID) head { return head{event, e.now().UTC(), job} }

// write ignores errors, as all views do: that nobody listens any more must not end a job.
func (e *Events) write(event any) { _ = e.encoder.Encode(event) }

// Say writes a message event.
func (e *Events) Say(line string) { e.write(messageEvent{e.head("message", ""), line}) }

// Show writes an event for everything that changed since the last report.
func (e *Events) Show(r am.Report) {
	if string(r.State) != e.state || r.Masters != e.masters || r.Message != e.message {
		e.state, e.masters, e.message = string(r.State), r.Masters, r.Message
		e.write(stateEvent{e.head("state", r.Job), r.State, r.Masters, r.Message})
	}
	for _, a := range r.Attempts {
		if e.attempts[a.ID] != a.State {
			e.attempts[a.ID] = a.State
			e.write(attemptEvent{e.head("attempt", r.Job), a})
		}
	}
	if e.seen.note(r) {
		now := e.seen.last
		event := iterationEvent{e.head("iteration", r.Job), now.Iteration, now.Iterations, map[string]float64{}, now.Rate}
		if now.Name != "" {
			event.Values[now.Name] = now.Value
		}
		e.write(event)
	}
	for _, s := range r.Stages {
		if e.stages[s.Name] != s {
			e.stages[s.Name] = s
			e.write(stageEvent{e.head("stage", r.Job), s})
		}
	}
}

// Close does nothing: an event is written when it happens.
func (e *Events) Close() {}
