package schedules

import (
	"encoding/json"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
)

// Fleet is what each firing of a schedule gets for itself: it is made before the work, and removed after it.
type Fleet struct {
	Request machines.Request `json:"request"` // without a name, which each firing gives its own
	Limits  machines.Limits  `json:"limits"`
}

// encode writes a fleet for a label of a job; "" is none.
func (f *Fleet) encode() (string, error) {
	if f == nil {
		return "", nil
	}
	data, err := json.Marshal(f)
	if err != nil {
		return "", errs.E("schedules.Fleet", errs.Internal, nil, err)
	}
	return string(data), nil
}

// ParseFleet reads the label of a job that has a fleet of its own.
func ParseFleet(label string) (f Fleet, err error) {
	if err := json.Unmarshal([]byte(label), &f); err != nil {
		return f, errs.E("schedules.Fleet", errs.Corrupt, nil, err)
	}
	return f, nil
}
