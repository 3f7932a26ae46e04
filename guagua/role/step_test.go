package role

import (
	"encoding/json"
	"testing"
)

// TestLinesBeginWithWhatPeopleLookFor: iteration and loss first, the engine's times after what the program has
// recorded.
func TestLinesBeginWithWhatPeopleLookFor(t *testing.T) {
	text, err := encodeLine(map[string]any{
		"seconds": 0.5, "missing": []int{2}, "loss": 0.25, "b \"x\"": 1, "accuracy": 1, "iteration": 7, "final": true,
		"compute": number(0.1),
	})
	want := `{"iteration":7,"final":true,"loss":0.25,"accuracy":1,"b \"x\"":1,"seconds":0.5,"compute":0.1,"missing":[2]}`
	if err != nil || string(text) != want || !json.Valid(text) {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
	if _, err := encodeLine(map[string]any{"f": func() {}}); err == nil {
		t.Error("a function was encoded")
	}
}
