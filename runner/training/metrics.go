package training

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/format"
)

// MetricsFile is the name of the file that has a line for each iteration.
const MetricsFile = "metrics.jsonl"

// Metrics is what metrics.jsonl says of a job that is over.
type Metrics struct {
	Iterations int                // as the program counts
	Losses     []float64          // in order, where there are any
	Last       map[string]float64 // what the last line says, without the engine's times
}

// maxMetrics bounds a metrics.jsonl that is read, in bytes.
const maxMetrics = 256 << 20

// ReadMetrics reads metrics.jsonl in the output of a job. It fails with errs.NotFound if the job has left none.
func ReadMetrics(ctx context.Context, resolve store.Resolve, output string) (Metrics, error) {
	const op = "training.Metrics"
	st, name, err := resolve(ctx, strings.TrimRight(output, "/"))
	if err != nil {
		return Metrics{}, err
	}
	r, err := st.Open(ctx, name.Join(MetricsFile), store.Range{})
	if err != nil {
		return Metrics{}, err
	}
	defer r.Close()
	m, err := parseMetrics(io.LimitReader(r, maxMetrics))
	if err != nil {
		return Metrics{}, errs.E(op, errs.Other, output, err)
	}
	return m, nil
}

func parseMetrics(r io.Reader) (m Metrics, err error) {
	lines := bufio.NewReader(r)
	for {
		text, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) > 0 {
			if err := m.add(text); err != nil {
				return m, err
			}
		}
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return m, err
		}
	}
}

// times are the numbers of a line that are the engine's.
var times = []string{"iteration", "seconds", "compute", "wait", "aggregate", "transfer"}

func (m *Metrics) add(text []byte) error {
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		return errs.E("training.Metrics", errs.Corrupt, nil, err)
	}
	m.Last = map[string]float64{}
	for name, v := range line {
		if number, ok := v.(float64); ok && !slices.Contains(times, name) {
			m.Last[name] = number
		}
	}
	if n, ok := line["iteration"].(float64); ok {
		m.Iterations = max(m.Iterations, int(n))
	}
	if loss, ok := m.Last["loss"]; ok {
		m.Losses = append(m.Losses, loss)
	}
	return nil
}

// String says how a job went: "60 iterations   loss 0.693 ▇▅▃▂▁ 0.241   accuracy 0.93".
func (m Metrics) String() string {
	var parts []string
	if m.Iterations > 0 {
		parts = append(parts, format.Plural(int64(m.Iterations), "iteration"))
	}
	if len(m.Losses) > 0 {
		parts = append(parts, "loss "+format.Trend(m.Losses, 16))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Last)) {
		if name != "loss" {
			parts = append(parts, name+" "+number(m.Last[name]))
		}
	}
	return strings.Join(parts, "   ")
}

// number writes whole numbers with all of their digits.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return format.Count(int64(v))
	}
	return format.Significant(v)
}
