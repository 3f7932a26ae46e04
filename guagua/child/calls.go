package child

import (
	"math"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

// What parent and child say to each other.

// planCall asks for what a job needs; the answer is a planned.
type planCall struct {
	Program    string        `json:"program"`
	Params     guagua.Params `json:"params"`
	Iterations int           `json:"iterations"`
	URI        string        `json:"uri,omitempty"` // of whole
}

type planned struct {
	Total  int      `json:"total"`
	Steady bool     `json:"steady,omitempty"`
	Files  []string `json:"files,omitempty"`
}

// newCall makes the child's master or worker.
type newCall struct {
	Program    string        `json:"program"`
	Job        string        `json:"job"`
	Params     guagua.Params `json:"params"`
	Worker     int           `json:"worker"`
	Workers    int           `json:"workers"`
	Attempt    int           `json:"attempt"`
	Iterations int           `json:"iterations"`
	Total      int           `json:"total"`
	Threads    int           `json:"threads"`
	Memory     int64         `json:"memory"`
	Scratch    string        `json:"scratch"`
}

func (c newCall) env() *guagua.Env {
	return &guagua.Env{
		Job: c.Job, Params: c.Params, Worker: c.Worker, Workers: c.Workers, Attempt: c.Attempt, Iterations: c.Iterations,
		Total: c.Total, Threads: c.Threads, Memory: c.Memory, Scratch: c.Scratch,
	}
}

func callOf(program string, e *guagua.Env) newCall {
	return newCall{
		Program: program, Job: e.Job, Params: e.Params, Worker: e.Worker, Workers: e.Workers, Attempt: e.Attempt,
		Iterations: e.Iterations, Total: e.Total, Threads: e.Threads, Memory: e.Memory, Scratch: e.Scratch,
	}
}

// computeCall has the first parts in its data, or the master result.
type computeCall struct {
	batch
	Iteration int   `json:"iteration"`
	Missing   []int `json:"missing,omitempty"`
	Halt      bool  `json:"halt,omitempty"`
	Result    bool  `json:"result,omitempty"`
}

type computed struct {
	Halt   bool    `json:"halt,omitempty"`
	Record *record `json:"record,omitempty"`
}

// record is a guagua.Record; numbers that JSON has none for survive as their bits.
type record struct {
	Iteration int               `json:"iteration"`
	Final     bool              `json:"final,omitempty"`
	Values    map[string]uint64 `json:"values"`
}

func recordOf(r *guagua.Record) *record {
	if r == nil {
		return nil
	}
	out := &record{r.Iteration, r.Final, map[string]uint64{}}
	for name, v := range r.Values {
		out.Values[name] = math.Float64bits(v)
	}
	return out
}

func (r *record) values() guagua.Record {
	out := guagua.Record{Iteration: r.Iteration, Final: r.Final, Values: map[string]float64{}}
	for name, bits := range r.Values {
		out.Values[name] = math.Float64frombits(bits)
	}
	return out
}

// pairCall has two things in its data, one after the other: the left and the right result to be combined, or result and
// state to be restored.
type pairCall struct {
	First int `json:"first"` // length of the first
}

func (c pairCall) split(data []byte) (first, second []byte, err error) {
	if c.First < 0 || c.First > len(data) {
		return nil, nil, errs.Errorf("child.Serve", errs.Corrupt, nil, "%d of %d bytes", c.First, len(data))
	}
	return data[:c.First:c.First], data[c.First:], nil
}

// closeCall says how the role ended.
type closeCall struct {
	Error string `json:"error,omitempty"`
}

// openCall asks the parent for a file, or a part of it; the answer is its handle.
type openCall struct {
	URI    string `json:"uri"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
}

// fileCall is about an open file. Data is what is written, or was read.
type fileCall struct {
	Handle uint64 `json:"handle"`
}

type opened struct {
	Handle uint64 `json:"handle"`
}

// readAnswer says whether there is more.
type readAnswer struct {
	End bool `json:"end,omitempty"`
}

type nameCall struct {
	Name string `json:"name"`
}

type textCall struct {
	Text string `json:"text"`
}

type countCall struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	Delta int64  `json:"delta"`
}

// chunk is how much of a file a message carries, in bytes.
const chunk = 1 << 20
