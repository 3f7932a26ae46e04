package algo

import "testing"

func TestDescriptions(t *testing.T) {
	all, lines := Builtins(), Descriptions()
	if len(all) != len(lines) {
		t.Fatalf("%d programs, %d descriptions", len(all), len(lines))
	}
	for i, p := range all {
		if lines[i].Name != p.Name() || lines[i].Does == "" {
			t.Errorf("%s is described as %+v", p.Name(), lines[i])
		}
	}
}
