package fleet

import (
	"fmt"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
)

// Limits are what a plan may not exceed. The zero value limits nothing but the loss of data.
type Limits struct {
	MaxHourly  float64  // USD, compared with Plan.HourlyMost; 0 is no limit
	MaxWorkers int      // 0 is no limit
	Regions    []string // empty allows all
	Accounts   []string // empty allows all
}

// Rule is what forbids an operation. Each has an exit code of its own, so that scripts can tell them apart.
type Rule int

// The rules. Their numbers are exit codes, and never change their meaning.
const (
	RuleLocked    Rule = 10 // another operation on this fleet is under way
	RulePrice     Rule = 11 // dearer than allowed
	RuleWorkers   Rule = 12 // more workers than allowed
	RuleRegion    Rule = 13 // a region that is not allowed
	RuleAccount   Rule = 14 // an account that is not allowed
	RuleBucket    Rule = 15 // the bucket with the data would be lost
	RuleLeftovers Rule = 16 // something could not be removed
)

// Refusal is an operation that a rule forbids. Its text is a whole sentence.
type Refusal struct {
	Rule Rule
	Text string
}

// Error returns the sentence.
func (r *Refusal) Error() string { return r.Text }

// ExitCode is what a program ends with that was refused.
func (r *Refusal) ExitCode() int { return int(r.Rule) }

// refuse makes the error of a rule: errors.As finds the Refusal in it.
func refuse(rule Rule, format string, args ...any) error {
	kind := errs.Invalid
	switch rule {
	case RuleLocked:
		kind = errs.Exist
	case RuleLeftovers:
		kind = errs.Failed
	}
	return errs.E("", kind, nil, &Refusal{Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// HalfMade is an error that came when some of a fleet was made already. Its text says what can be done about that.
type HalfMade struct {
	Fleet string
	Err   error
}

// Error returns what went wrong, and what to do.
func (h *HalfMade) Error() string {
	return fmt.Sprintf("%v. What was made so far: the same deploy again goes on from there, `runner teardown %s` removes it",
		h.Err, h.Fleet)
}

func (h *HalfMade) Unwrap() error { return h.Err }

// check returns the refusal of the first rule that a plan breaks.
func (l Limits) check(p Plan) error {
	workers := 0
	for _, g := range p.Groups {
		if g.Role == Worker {
			workers = max(g.Count, g.Most)
		}
	}
	switch {
	case !allowed(l.Accounts, p.Account):
		return refuse(RuleAccount, "account %s is not allowed here; allowed are %v", p.Account, l.Accounts)
	case !allowed(l.Regions, p.Region):
		return refuse(RuleRegion, "region %s is not allowed here; allowed are %v", p.Region, l.Regions)
	case l.MaxWorkers > 0 && workers > l.MaxWorkers:
		return refuse(RuleWorkers, "%d workers are more than the %d allowed", workers, l.MaxWorkers)
	case l.MaxHourly > 0 && p.HourlyMost > l.MaxHourly:
		return refuse(RulePrice, "it may cost $%.2f an hour, more than the $%.2f allowed", p.HourlyMost, l.MaxHourly)
	case l.MaxHourly > 0 && len(p.Unpriced) > 0:
		return refuse(RulePrice, "the price of %v is not known, so $%.2f an hour can't be kept to", p.Unpriced, l.MaxHourly)
	}
	return checkBuckets(p)
}

// bucketType is what holds data.
const bucketType = "aws_s3_bucket"

// checkBuckets refuses a plan that loses a bucket without having been asked to.
func checkBuckets(p Plan) error {
	for _, c := range p.Changes {
		if c.Type == bucketType && (c.Action == Replace || c.Action == Delete) && !p.Purges {
			return refuse(RuleBucket, "bucket %s would be lost with all data in it; only teardown with --purge-data may do that",
				p.Bucket)
		}
	}
	return nil
}

func allowed(list []string, what string) bool { return len(list) == 0 || slices.Contains(list, what) }
