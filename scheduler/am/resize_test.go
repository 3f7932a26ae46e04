package am

import (
	"testing"

	"github.com/seed3322913c/runner/scheduler"
)

// TestResizesHaveTurns: of two resizes that come together, the second is not done when the first is recorded.
func TestResizesHaveTurns(t *testing.T) {
	a := newMaster(Config{Job: scheduler.Job{ID: "abcd-resized"}, Options: Options{}.withDefaults()})
	m := a.mu.machine
	var turns []int
	for _, count := range []int{2, 3} {
		turn, refused := m.resize(count)
		if refused != "" {
			t.Fatal(refused)
		}
		turns = append(turns, turn)
	}
	for i, want := range [][]bool{{false, false}, {true, false}, {true, true}} {
		for who, turn := range turns {
			if done, _ := a.wasResized(turn); done != want[who] {
				t.Errorf("after %d records resize %d is done: %t", i, who, done)
			}
		}
		if err := m.recorded(record{Resized: &resized{i + 2}}, 0); err != nil {
			t.Fatal(err)
		}
	}
}
