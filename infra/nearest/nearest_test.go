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

func TestOf(t *testing.T) {
	jobs := []string{"wordcount", "grep", "sort", "wordmean"}
	for word, want := range map[string]string{
		"wordcuont": "wordcount", "wordmeen": "wordmean", "gerp": "grep", "zzzzzz": "", "": "", "so": "sort",
	} {
		if got := Of(word, jobs); got != want {
			t.Errorf("Of(%q) = %q, want %q", word, got, want)
		}
	}
	if got := Of("reducer_count", []string{"mapper", "reducer", "reducers", "set"}); got != "reducers" {
		t.Errorf("reducer_count is nearest to %q, want reducers", got)
	}
}
