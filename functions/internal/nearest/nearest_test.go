package nearest

import "testing"

func TestHint(t *testing.T) {
	known := []string{"wordcount", "grep", "sum"}
	for name, want := range map[string]string{
		"wordcuont": `; did you mean "wordcount"?`,
		"gerp":      `; did you mean "grep"?`,
		"sun":       `; did you mean "sum"?`,
		"median":    "; there is wordcount, grep, sum",
		"":          "; there is wordcount, grep, sum",
	} {
		if got := Hint(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Hint("anything", nil); got != "" {
		t.Errorf("%q", got)
	}
}
