package guagua

import (
	"fmt"
	"strconv"
	"strings"
)

// Status is the line that people see beside a master at work.
type Status struct {
	Iteration  int // the latest that is recorded, as the program counts
	Iterations int // what the user asked for
	Name       string
	Value      float64 // what the record says under Name; without Name nothing
	Rate       float64 // iterations per second, 0 if that is not known
}

// String writes the line: "iteration 23 of 60  loss 0.241  58.1 iterations/s".
func (s Status) String() string {
	text := fmt.Sprintf("iteration %d of %d", s.Iteration, s.Iterations)
	if s.Name != "" {
		text += fmt.Sprintf("  %s %.6g", s.Name, s.Value)
	}
	if s.Rate > 0 {
		text += "  " + rate(s.Rate) + " iterations/s"
	}
	return text
}

// rate writes a number with three digits that matter, or all before its point, in groups.
func rate(perSecond float64) string {
	if perSecond < 999.5 {
		return strconv.FormatFloat(perSecond, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(perSecond, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// ParseStatus is the inverse of Status.String; ok is false for any other text.
func ParseStatus(text string) (s Status, ok bool) {
	parts := strings.Split(text, "  ")
	if n, err := fmt.Sscanf(parts[0], "iteration %d of %d", &s.Iteration, &s.Iterations); n != 2 || err != nil {
		return Status{}, false
	}
	for _, part := range parts[1:] {
		number, name := part, ""
		if rate, isRate := strings.CutSuffix(part, " iterations/s"); isRate {
			number = strings.ReplaceAll(rate, ",", "")
		} else if name, number, ok = strings.Cut(part, " "); !ok || name == "" {
			return Status{}, false
		}
		v, err := strconv.ParseFloat(number, 64)
		switch {
		case err != nil:
			return Status{}, false
		case name == "":
			s.Rate = v
		default:
			s.Name, s.Value = name, v
		}
	}
	return s, true
}
