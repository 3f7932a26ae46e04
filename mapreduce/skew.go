package mapreduce

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/seed3322913c/runner/scheduler"
)

// Skew says how unevenly the records of a job were divided among its reducers.
type Skew struct {
	Mean    int64  `json:"mean"`              // records of a reducer
	Largest []Load `json:"largest,omitempty"` // the reducers that had most of them, most first
	// Hot are the keys that most records had, most first. Keys whose values were folded before they were sorted are not
	// among them: they cost no more than others.
	Hot []HotKey `json:"hot,omitempty"`
}

// Load is what one reducer had to do.
type Load struct {
	Task    scheduler.TaskID `json:"task"`
	Records int64            `json:"records"`
	Groups  int64            `json:"groups"`
	Bytes   int64            `json:"bytes"` // that it fetched
}

// HotKey is a key of many records.
type HotKey struct {
	Key     string           `json:"key"` // or how it begins
	Records int64            `json:"records"`
	Task    scheduler.TaskID `json:"task"` // which had it
}

const (
	skewed     = 3       // reducers and keys that are named
	minSkewed  = 100_000 // records below which nobody needs to hear about skew
	skewFactor = 2       // times the mean that are worth a sentence
)

// add takes in a reducer.
func (s *Skew) add(task scheduler.TaskID, r reduceResult) {
	s.Largest = append(s.Largest, Load{task, r.Records, r.Groups, r.Stored})
	for _, h := range r.Hot {
		key := string(bytes.ToValidUTF8(h.Key, []byte("?")))
		s.Hot = append(s.Hot, HotKey{Key: key, Records: h.Records, Task: task})
	}
	s.Mean += r.Records
}

// settled returns the skew of what was added.
func (s Skew) settled() Skew {
	s.Mean /= max(int64(len(s.Largest)), 1)
	slices.SortStableFunc(s.Largest, func(a, b Load) int { return cmp.Compare(b.Records, a.Records) })
	slices.SortStableFunc(s.Hot, func(a, b HotKey) int { return cmp.Compare(b.Records, a.Records) })
	s.Largest = slices.Clone(s.Largest[:min(len(s.Largest), skewed)])
	s.Hot = slices.Clone(s.Hot[:min(len(s.Hot), skewed)])
	return s
}

// Sentence says what is worth knowing about the skew of a job of so many records; "" if nothing is.
func (s Skew) Sentence(records int64) string {
	if len(s.Largest) < 2 || s.Largest[0].Records < max(skewFactor*s.Mean, minSkewed) {
		return ""
	}
	percent := func(n int64) int64 { return n * 100 / max(records, 1) }
	worst := s.Largest[0]
	text := fmt.Sprintf("%s had %d%% of all records", worst.Task, percent(worst.Records))
	if len(s.Hot) > 0 && s.Hot[0].Task == worst.Task && s.Hot[0].Records > worst.Records/2 {
		return fmt.Sprintf("%s, %d%% the key %q alone; a combiner would fold it, more reducers would not help",
			text, percent(s.Hot[0].Records), s.Hot[0].Key)
	}
	return text + "; more reducers would divide them"
}
