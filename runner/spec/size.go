package spec

import (
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Never is the timeout of attempts that may be silent for ever.
const Never time.Duration = -1

// ParseTimeout reads a time as people write it: 90s, 10m, 1h30m; or never.
func ParseTimeout(text string) (time.Duration, error) {
	if text == "never" {
		return Never, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return 0, errs.Errorf("spec.ParseTimeout", errs.Invalid, nil,
			"%q is not a timeout; write it as in 90s, 10m or 1h30m, or never", text)
	}
	return d, nil
}
