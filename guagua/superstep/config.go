package superstep

import (
	"math"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Policy says what happens to a straggler: a worker that takes several times the median of its peers.
type Policy string

// The policies.
const (
	Report  Policy = "report"  // say so
	Exclude Policy = "exclude" // go on without its result of this iteration, if MinRatio allows
	Replace Policy = "replace" // after Strikes iterations in a row, end it, so that another process takes its place
)

// Config is what a master must know of its job.
type Config struct {
	Workers int // how many, 1 or more
	Total   int // iterations at most, 1 or more

	Durable   bool          // every master result is in a checkpoint before a worker sees it
	SaveEvery time.Duration // otherwise: the least time between two checkpoints in the background

	Register time.Duration // how long to wait for all workers to join

	MinRatio   float64       // share of the workers whose results must be there, above 0 up to 1
	MinTimeout time.Duration // how long to wait for more than MinRatio

	// Staleness is how many iterations behind a worker may be. Above 0 an iteration waits for nobody once MinRatio of the
	// results are there (with a MinRatio of 1: a single one), unless a worker that is missing would fall further behind;
	// who has missed iterations sends what it has computed meanwhile. The first and the last iteration have all results.
	Staleness int

	Stragglers Policy
	Factor     float64       // how many times the median makes a straggler, above 1
	Least      time.Duration // nobody faster than this is one
	Strikes    int           // for Replace

	Linger time.Duration // how long to wait at the end for workers to take their leave
}

// Defaults returns the configuration of a job that forgives nothing and waits for ever.
func Defaults(workers, total int) Config {
	return Config{
		Workers: workers, Total: total, SaveEvery: time.Second, Register: 2 * time.Minute,
		MinRatio: 1, MinTimeout: time.Minute, Stragglers: Report, Factor: 3, Least: time.Second, Strikes: 3,
		Linger: 10 * time.Second,
	}
}

// Validate refuses what makes no sense.
func (c *Config) Validate() error {
	const op = "superstep.Config"
	switch {
	case c.Workers < 1 || c.Total < 1:
		return errs.Errorf(op, errs.Invalid, nil, "%d workers, %d iterations: at least one of each", c.Workers, c.Total)
	case !(c.MinRatio > 0 && c.MinRatio <= 1):
		return errs.Errorf(op, errs.Invalid, nil, "min-workers-ratio %g: must be above 0 and at most 1", c.MinRatio)
	case c.Stragglers != Report && c.Stragglers != Exclude && c.Stragglers != Replace:
		return errs.Errorf(op, errs.Invalid, nil, "stragglers %q: must be report, exclude or replace", c.Stragglers)
	case !(c.Factor > 1):
		return errs.Errorf(op, errs.Invalid, nil, "straggler factor %g: must be above 1", c.Factor)
	case c.Staleness < 0:
		return errs.Errorf(op, errs.Invalid, nil, "staleness %d: can't be below 0", c.Staleness)
	case c.Stragglers == Exclude && c.MinRatio == 1:
		return errs.Errorf(op, errs.Invalid, nil, "stragglers=exclude needs a min-workers-ratio below 1")
	}
	return nil
}

// Whole reports whether every iteration has the results of all workers.
func (c *Config) Whole() bool { return c.MinRatio == 1 && c.Staleness == 0 }

// needed returns how many results an iteration must have.
func (c *Config) needed() int {
	if c.Staleness > 0 && c.MinRatio == 1 {
		return 1
	}
	return max(1, int(math.Ceil(c.MinRatio*float64(c.Workers)-1e-9)))
}
