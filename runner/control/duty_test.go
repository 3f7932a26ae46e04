package control

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestDutiesBeginAgain: a duty that fails is taken up again, others do not notice, and all end with the leadership.
func TestDutiesBeginAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		weak, strong := 0, 0
		attended := attend(ctx, []Duty{
			{Name: "weak", Do: func(context.Context) error {
				weak++
				if weak == 3 {
					cancel()
				}
				return errors.New("no store")
			}},
			{Name: "strong", Do: func(ctx context.Context) error {
				strong++
				<-ctx.Done()
				return ctx.Err()
			}},
		}, slog.New(slog.DiscardHandler))
		if !errors.Is(attended, context.Canceled) || weak != 3 || strong != 1 {
			t.Errorf("%v, begun %d and %d times", attended, weak, strong)
		}
	})
}
