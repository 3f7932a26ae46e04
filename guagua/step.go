package guagua

import "fmt"

// MasterIndex is the worker index of a master.
const MasterIndex = -1

// Env is what a program knows of its job: the same in all iterations of a process.
type Env struct {
	Job        string
	Params     Params
	Worker     int    // the worker's index from 0, or MasterIndex
	Workers    int    // how many workers the job has
	Attempt    int    // 0 for the first process with this role, then one more for each that followed
	Iterations int    // what the user asked for
	Total      int    // iterations of the engine at most; it ends earlier when halted
	Threads    int    // goroutines that Compute should use at most, 1 or more
	Memory     int64  // bytes that the program's data may take, 0 for any number
	Scratch    string // a directory for what does not fit, removed when the attempt ends

	Open   Opener                           // reads input, and files that parameters name
	Create Output                           // writes files of the output
	Logf   func(format string, args ...any) // a line for the attempt's log; never nil

	// Count adds to a counter that people see with the job; never nil. Of each worker the attempt counts that has
	// succeeded.
	Count func(group, name string, delta int64)
}

// Kind returns "master" or "worker".
func (e *Env) Kind() string {
	if e.Worker == MasterIndex {
		return "master"
	}
	return "worker"
}

// Role returns "master" or "worker 3".
func (e *Env) Role() string {
	if e.Worker == MasterIndex {
		return e.Kind()
	}
	return fmt.Sprintf("%s %d", e.Kind(), e.Worker)
}

// Step is one iteration as its master or a worker sees it. It is used by one goroutine.
type Step struct {
	Env       *Env
	Iteration int   // from 1
	Missing   []int // on the master: workers whose results are not among those of this iteration, ascending
	halt      bool
	record    *Record
}

// First reports whether this is the first iteration, in which there is no master result yet.
func (s *Step) First() bool { return s.Iteration == 1 }

// Halt ends the job with this iteration, if the master says it, or if all workers whose results count say it.
func (s *Step) Halt() { s.halt = true }

// Halted reports whether Halt was called.
func (s *Step) Halted() bool { return s.halt }

// Record adds the line of this iteration to metrics.jsonl; the last call counts. On workers it has no effect.
func (s *Step) Record(r Record) { s.record = &r }

// Recorded returns what Record was given, or nil.
func (s *Step) Recorded() *Record { return s.record }

// Record is what a program has to say about an iteration.
type Record struct {
	Iteration int                // as the program counts, which may differ from the engine's number
	Final     bool               // the last line: the values at the end
	Values    map[string]float64 // "loss" is the one that is drawn; names must not collide with those of the engine
}
