package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/seed3322913c/runner/runner/format"
)

// phases are how long the parts of something have taken, in their order.
type phases []phase

type phase struct {
	name string
	took time.Duration
}

// String says it in words: "plan 4.1 s, jobs 0.0 s, removal 41 s, scan 1.2 s".
func (p phases) String() string {
	var all []string
	for _, one := range p {
		all = append(all, one.name+" "+format.Duration(one.took))
	}
	return strings.Join(all, ", ")
}

// MarshalJSON says it in seconds, by name.
func (p phases) MarshalJSON() ([]byte, error) {
	all := map[string]float64{}
	for _, one := range p {
		all[strings.ToLower(one.name)] = one.took.Seconds()
	}
	return json.Marshal(all)
}

// stopwatch cuts time into phases.
type stopwatch struct {
	since time.Time
	all   phases
}

func start() stopwatch { return stopwatch{since: time.Now()} }

// lap ends a phase and begins the next.
func (w *stopwatch) lap(name string) {
	now := time.Now()
	w.all = append(w.all, phase{name, now.Sub(w.since)})
	w.since = now
}

// skip leaves out what has gone by since the last phase: somebody has thought about a question, say.
func (w *stopwatch) skip() { w.since = time.Now() }

// total is how long all phases have taken.
func (p phases) total() (sum time.Duration) {
	for _, one := range p {
		sum += one.took
	}
	return sum
}
