package spec

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/runner/say"
)

const three = `# what a day has
kind: mapreduce
name: report
needs: [words, lengths]
input: [out/words, out/lengths]
output: out/report
mapreduce: {mapper: {builtin: sort}}
---
kind: mapreduce
name: words
input: in
output: out/words
intermediate: true
mapreduce: {mapper: {builtin: sort}}
---
kind: mapreduce
name: lengths
needs: words
input: out/words
output: out/lengths
mapreduce: {mapper: {builtin: sort}}
---
`

func TestSeveralJobs(t *testing.T) {
	all, err := Parse("day.yaml", []byte(three))
	if err != nil || len(all) != 3 {
		t.Fatalf("%d jobs, %v", len(all), err)
	}
	if all[0].Name != "report" || !slices.Equal(all[0].Needs, []string{"words", "lengths"}) || all[0].Intermediate ||
		!all[1].Intermediate || !slices.Equal(all[2].Needs, []string{"words"}) {
		t.Errorf("%+v", all)
	}
	for _, one := range []string{
		whole, "---\n" + whole, whole + "---\n", "%YAML 1.2\n---\n" + whole + "---\n# no more\n",
	} {
		parseOne(t, strings.Replace(one, "Word Count", "wc", 1))
	}
}

func TestMistakesAmongJobs(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"name: words\n", "",
			`line 9: the job that begins here has no name; where a file has several jobs each needs "name"`},
		{"name: lengths", "name: Words", "line 17: the name Words is taken by the job at line 10"},
		{"needs: words", "needs: wrods",
			`line 18: needs a job "wrods", which this file does not have; did you mean "words"?`},
		{"needs: words", "needs:\n- words\n- lengths", "line 20: the job lengths needs itself"},
		{"needs: words", "needs: report",
			"line 4: these jobs need each other in a circle: report needs lengths, lengths needs report"},
		{"output: out/lengths", "output: out/lengths\nintermediate: yes",
			`line 21: intermediate is "yes"; want true or false`},
		{"output: out/report", "output: out/report\nintermediate: true",
			"line 7: no job needs report, so its output is not intermediate"},
		{"output: out/lengths", "outptu: x", `line 20: unknown key "outptu"; did you mean "output"?`},
		{"needs: words", "needs: {a: b}", "line 18: needs is not understood; want the name of a job, or a list of them"},
		{"name: lengths", "name: lengths\nname: twice", `line 18: mapping key "name" already defined at [17:1]`},
	} {
		text := strings.Replace(three, c.old, c.new, 1)
		_, err := Parse("day.yaml", []byte(text))
		if err == nil {
			t.Errorf("%q instead of %q was accepted", c.new, c.old)
		} else if got := say.Sentence(err); got != "day.yaml "+c.want {
			t.Errorf("%q\n got %s\nwant day.yaml %s", c.new, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"---\n---\n" + whole:    "line 1: there is no job between these dashes and line 2",
		three + "---\n" + whole: "line 22: there is no job between these dashes and line 23",
	} {
		if _, err := Parse("day.yaml", []byte(text)); err == nil || say.Sentence(err) != "day.yaml "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	many := strings.Repeat("kind: mapreduce\nname: x\n---\n", MaxJobs+1)
	if _, err := Parse("day.yaml", []byte(many)); err == nil || !strings.Contains(err.Error(), "1002 YAML documents") {
		t.Errorf("too many jobs: %v", err)
	}
}

func TestFlagsOfOneJob(t *testing.T) {
	forms := FormFlags{Compress: "gzip", SkipBad: 1}
	for want, f := range map[string]Flags{
		"":        {Name: "n", Executors: "1", CPU: 1, Memory: "1GiB", Overwrite: true, FormFlags: forms},
		"--input": {Input: []string{"a"}}, "--output": {Output: "a"}, "--reducers": {Reducers: "1"},
		"--set":    {Set: []string{"a=b"}},
		"--format": {FormFlags: FormFlags{Format: "csv"}}, "--output-format": {FormFlags: FormFlags{OutputFormat: "csv"}},
		"--partitioner": {FormFlags: FormFlags{Partitioner: "hash"}}, "--key": {FormFlags: FormFlags{Key: "reverse"}},
		"--maps": {FormFlags: FormFlags{Maps: 1}},
	} {
		if got := f.OfOneJob(); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
}

// TestOrder: every job comes once, after all that it needs; or there is a circle, and it is one.
func TestOrder(t *testing.T) {
	if got := Order([][]int{{1, 2}, {}, {1}, {}}); !slices.Equal(got, []int{1, 2, 0, 3}) {
		t.Errorf("order %v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "jobs")
		needs := make([][]int, n)
		for i := range needs {
			needs[i] = rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, min(2, n), rapid.ID[int]).Draw(t, "needs")
		}
		if circle := findCircle(needs); circle != nil {
			for k, i := range circle {
				if !slices.Contains(needs[i], circle[(k+1)%len(circle)]) {
					t.Fatalf("%v is no circle", circle)
				}
			}
			return
		}
		var seen []int
		for _, i := range Order(needs) {
			for _, j := range needs[i] {
				if !slices.Contains(seen, j) {
					t.Fatalf("%d comes before %d", i, j)
				}
			}
			seen = append(seen, i)
		}
		if slices.Sort(seen); len(slices.Compact(seen)) != n || len(seen) != n {
			t.Fatalf("%d of %d jobs", len(seen), n)
		}
	})
}
