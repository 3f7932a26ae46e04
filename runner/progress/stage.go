package progress

import (
	"fmt"
	"time"

	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/scheduler/am"
)

// fraction is how much of a stage is done, from 0 to 1.
func fraction(s am.StageReport) float64 {
	switch {
	case s.Open || s.Tasks == 0:
		return 0
	case s.Done == s.Tasks:
		return 1
	case s.Weight > 0:
		return min(1, float64(s.Worked)/float64(s.Weight))
	}
	return float64(s.Done) / float64(s.Tasks)
}

// elapsed is how long a stage has worked.
func elapsed(s am.StageReport, now time.Time) time.Duration {
	switch {
	case s.Started.IsZero():
		return 0
	case !s.Ended.IsZero():
		return s.Ended.Sub(s.Started)
	}
	return max(0, now.Sub(s.Started))
}

// fields are the texts beside a stage's bar, the most telling first.
func fields(s am.StageReport, cores int, now time.Time) []string {
	if s.Open {
		return nil
	}
	all := []string{fmt.Sprintf("%7s", format.Count(int64(s.Done))+"/"+format.Count(int64(s.Tasks)))}
	took := elapsed(s, now)
	if s.Worked > 0 {
		all = append(all, format.Bytes(s.Worked))
	}
	if rate := format.Rate(s.Worked, took); rate != "" && s.Worked >= 1e6 { // of less it says how long starting takes
		all = append(all, rate)
		if cores > 1 && took >= time.Second {
			all = append(all, format.Rate(s.Worked/int64(cores), took)+" per core")
		}
	}
	if bad := s.Failed + s.Lost; bad > 0 {
		all = append(all, fmt.Sprintf("%d tried again", bad))
	}
	// A guess from the first moments is no better than none.
	if done := fraction(s); done > 0.05 && done < 1 && took >= 2*time.Second {
		if left := time.Duration(float64(took) * (1 - done) / done); left >= time.Minute {
			all = append(all, "about "+format.Duration(left)+" left")
		} else {
			all = append(all, fmt.Sprintf("about %.0f s left", max(1, left.Seconds())))
		}
	}
	return all
}

// cores counts what works on a job.
func cores(r am.Report) int {
	n := 0
	for _, e := range r.Executors {
		n += e.Cores
	}
	return n
}
