package embedded

import (
	"context"
	"testing"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/mem"
)

// raced is a coordinator at which somebody else writes between the first look at a value and what follows from it.
type raced struct {
	coord.Coordinator
	between func()
}

func (r *raced) Get(ctx context.Context, key coord.Key) (coord.Value, error) {
	v, err := r.Coordinator.Get(ctx, key)
	if between := r.between; between != nil {
		r.between = nil
		between()
	}
	return v, err
}

// TestPutRaces: of two who write a value at the same time, as two kills of one chain do, neither fails.
func TestPutRaces(t *testing.T) {
	ctx, key := t.Context(), stopKey("abcd-day")
	for _, mine := range []string{"mine", ""} { // "" removes it
		inner := mem.New()
		other := func() {
			if err := put(ctx, inner, key, []byte("theirs")); err != nil {
				t.Error(err)
			}
		}
		other()
		var data []byte
		if mine != "" {
			data = []byte(mine)
		}
		if err := put(ctx, &raced{inner, other}, key, data); err != nil {
			t.Errorf("%q: %v", mine, err)
		}
		if v, err := inner.Get(ctx, key); err != nil || string(v.Data) != mine {
			t.Errorf("it is %q, %v; want %q", v.Data, err, mine)
		}
	}
}
