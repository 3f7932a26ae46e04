package fleet

import (
	"context"
	"encoding/json"

	"github.com/seed3322913c/runner/infra/errs"
)

// StateReader is the ability of a provider to read states without keeping anybody off them.
type StateReader interface {
	// ReadState returns the state that s.Backend names as Terraform has written it, and whether somebody has locked it,
	// which it looks for first. No state is nothing.
	ReadState(ctx context.Context, s Setup) (state []byte, locked bool, err error)
}

// Leftovers returns what carries the mark of this fleet though no state knows it, and all that does once its removal
// has begun. A fleet that was made from another home folder has a state, too, so nothing of it is a leftover here; it
// goes on undisturbed. It fails with a Refusal while somebody works on the fleet.
func (f *Fleet) Leftovers(ctx context.Context) ([]Resource, error) {
	if reader, err := f.foreign(); err != nil {
		return nil, err
	} else if reader != nil {
		return f.foreignLeftovers(ctx, reader)
	}
	op, err := f.begin(ctx, look)
	if err != nil {
		return nil, err
	}
	defer op.end()
	return f.leftovers(ctx, op)
}

// foreign returns what reads the state of a fleet that may be somebody else's; nil of one of this home, or where nobody
// can.
func (f *Fleet) foreign() (StateReader, error) {
	rec, err := f.Record()
	if err != nil && errs.KindOf(err) != errs.NotFound || rec.Phase != "" && rec.Phase != Gone {
		return nil, err
	}
	reader, _ := f.provider.(StateReader)
	return reader, nil
}

// leftovers is Leftovers while nobody else of this home is at work on the fleet.
func (f *Fleet) leftovers(ctx context.Context, op *operation) ([]Resource, error) {
	if reader, err := f.foreign(); err != nil {
		return nil, err
	} else if reader != nil {
		return f.foreignLeftovers(ctx, reader)
	}
	rec, err := f.Record()
	if err == nil && rec.Phase == Ending {
		found, err := f.provider.Scan(ctx, f.name)
		return leftovers(found, nil, false), err
	}
	p, err := f.planDestroy(ctx, op, false)
	if errs.KindOf(err) == errs.NotFound {
		return nil, nil // there is nothing but data, perhaps
	}
	return p.Leftovers, err
}

// foreignLeftovers are those of a fleet that may be somebody else's, who must not be kept off meanwhile as by a plan. It
// scans first: who has made something that it finds still has the lock after that, or has written it in the state.
func (f *Fleet) foreignLeftovers(ctx context.Context, reader StateReader) ([]Resource, error) {
	found, err := f.provider.Scan(ctx, f.name)
	if err != nil {
		return nil, err
	}
	r, err := f.known()
	if err != nil {
		return nil, err
	}
	text, err := f.readState(ctx, reader, r)
	if err != nil {
		return nil, err
	}
	known, err := namesIn(text)
	if err != nil {
		return nil, errs.E("fleet.Leftovers", errs.Corrupt, f.name, err)
	}
	return leftovers(found, known, false), nil
}

// readState returns the state, or a Refusal while somebody has it locked.
func (f *Fleet) readState(ctx context.Context, reader StateReader, r Request) ([]byte, error) {
	setup, err := f.provider.Setup(ctx, r)
	if err != nil {
		return nil, err
	}
	text, locked, err := reader.ReadState(ctx, setup)
	if err == nil && locked && !f.options.BreakLock {
		err = refuse(RuleLocked, "somebody is at work on %s, or was killed; wait, or if they are gone say --break-lock",
			f.name)
	}
	return text, err
}

// namesIn returns all names by which a state, as Terraform has written it, knows its resources.
func namesIn(text []byte) (map[string]bool, error) {
	var state struct {
		Resources []struct {
			Instances []struct {
				Attributes map[string]any `json:"attributes"`
			} `json:"instances"`
		} `json:"resources"`
	}
	known := map[string]bool{}
	if len(text) == 0 {
		return known, nil
	}
	err := json.Unmarshal(text, &state)
	for _, r := range state.Resources {
		for _, i := range r.Instances {
			addNames(known, i.Attributes)
		}
	}
	return known, err
}
