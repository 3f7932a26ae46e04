package deploy

import (
	"context"
	"slices"

	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
)

// Silent returns reports in the name of machines that have made none: what fails before the program itself starts, a
// download say, or keeps it from its depot, is on their consoles alone.
func (s *Site) Silent(ctx context.Context, h Health) ([]nodeinit.Report, error) {
	there, err := s.Machines(ctx)
	if err != nil {
		return nil, err
	}
	var all []nodeinit.Report
	for _, m := range there {
		if slices.ContainsFunc(h.Reports, func(r nodeinit.Report) bool { return r.Machine == m.ID }) {
			continue
		}
		r := nodeinit.Report{
			Machine: m.ID, Role: nodeinit.Role(m.Role), Address: m.Private, State: nodeinit.Silent, Time: m.Started,
			Message: "it has not said that it boots",
		}
		if console, ok := s.provider.(machines.Console); ok {
			if r.Log, err = console.Console(ctx, m.ID); err != nil {
				r.Message += "; its console: " + say.Sentence(err)
			}
		}
		all = append(all, r)
	}
	return all, nil
}
