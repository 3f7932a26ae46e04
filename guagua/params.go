package guagua

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

// Params are the settings of a job, as its user wrote them.
type Params map[string]string

// EngineParams are the names in a job's parameters that mean something to the engine, and never reach the program.
func EngineParams() []string {
	return []string{
		"workers", "iterations", "adapter", "checkpoint", "coordinator", "min-workers-ratio", "min-workers-timeout",
		"staleness",
		"group", "stragglers", "straggler-factor", "straggler-seconds", "straggler-strikes", "register-timeout", "threads",
		"trace",
	}
}

// Reader takes parameters out one by one and then complains about everything that was wrong, unknown names included:
//
//	r := p.Reader()
//	o := Options{Rate: r.Float("learning-rate", 0.1), Classes: r.Int("classes", 2)}
//	return o, r.Err()
type Reader struct {
	params Params
	known  []string
	errs   []string
}

// Reader begins reading the parameters.
func (p Params) Reader() *Reader { return &Reader{params: p} }

// String returns a parameter, or its default.
func (r *Reader) String(name, otherwise string) string {
	r.known = append(r.known, name)
	if v, ok := r.params[name]; ok {
		return v
	}
	return otherwise
}

// OneOf is String for a parameter with few values; the first is the default.
func (r *Reader) OneOf(name string, values ...string) string {
	v := r.String(name, values[0])
	r.Check(slices.Contains(values, v), "%s=%s: must be one of %s", name, v, strings.Join(values, ", "))
	return v
}

// Int returns a whole number between low and high.
func (r *Reader) Int(name string, otherwise, low, high int) int {
	return parsed(r, name, otherwise, strconv.Atoi, low, high)
}

// Float returns a finite number between low and high.
func (r *Reader) Float(name string, otherwise, low, high float64) float64 {
	return parsed(r, name, otherwise, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }, low, high)
}

// Bool returns true or false.
func (r *Reader) Bool(name string, otherwise bool) bool {
	return r.OneOf(name, strconv.FormatBool(otherwise), strconv.FormatBool(!otherwise)) == "true"
}

func parsed[T int | float64](r *Reader, name string, otherwise T, parse func(string) (T, error), low, high T) T {
	text := r.String(name, "")
	if text == "" {
		return otherwise
	}
	v, err := parse(text)
	fits := err == nil && v >= low && v <= high
	r.Check(fits, "%s=%s: must be a number%s", name, text, between(float64(low), float64(high)))
	return v
}

func between(low, high float64) string {
	const huge = math.MaxInt32
	switch {
	case low > -huge && high < huge:
		return " from " + plainly(low) + " to " + plainly(high)
	case low > -huge:
		return ", at least " + plainly(low)
	}
	return ""
}

// plainly writes whole numbers as people type them.
func plainly(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprintf("%g", v)
}

// Check adds a complaint unless ok.
func (r *Reader) Check(ok bool, format string, args ...any) {
	if !ok {
		r.errs = append(r.errs, fmt.Sprintf(format, args...))
	}
}

// Err returns all complaints as one error of kind Invalid, or nil. Parameters that nobody asked for are complained
// about with the nearest name that somebody did ask for.
func (r *Reader) Err() error {
	for _, name := range slices.Sorted(maps.Keys(r.params)) {
		if !slices.Contains(r.known, name) {
			known := append(slices.Clone(r.known), EngineParams()...)
			r.errs = append(r.errs, fmt.Sprintf("unknown parameter %q%s", name, nearest.Hint(name, known)))
		}
	}
	if len(r.errs) == 0 {
		return nil
	}
	return errs.Errorf("guagua.Params", errs.Invalid, nil, "%s", strings.Join(r.errs, "; "))
}
