package spec

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
)

const churn = `kind: guagua
name: churn
input: churn.csv
output: out/churn
guagua:
  worker: {builtin: neural-network}
  workers: 8
  iterations: 100
  set: {layers: 3-1, init: old/model.json, learning-rate: 0.50, header: true}
`

func TestTrainingJob(t *testing.T) {
	s := parseOne(t, churn)
	err := Flags{Set: []string{"workers=4", "learning-rate=0.25"}}.Apply(&s)
	if err != nil {
		t.Fatal(err)
	}
	job, err := s.Job("/d")
	if err != nil {
		t.Fatal(err)
	}
	var got engine.Options
	if err := json.Unmarshal(job.Engine, &got); err != nil {
		t.Fatal(err)
	}
	want := engine.Options{Worker: functions.Ref{Builtin: "neural-network"}, Workers: 8, Iterations: 100,
		Set: guagua.Params{
			"layers": "3-1", "init": "file:///d/old/model.json", "learning-rate": "0.25", "header": "true", "workers": "4",
		}}
	if diff := cmp.Diff(want, got); diff != "" || job.Kind != engine.Kind || job.Package != "" {
		t.Errorf("%s%+v", diff, job)
	}
}

func TestTrainingMistakes(t *testing.T) {
	for _, c := range []struct {
		text  string
		flags Flags
		want  string
	}{
		{"kind: guagua\nguagua: {}\n", Flags{}, `job.yaml line 2: "master" is missing in guagua; want exactly one of ` +
			"builtin: NAME, go: NAME (in the package) and exec: COMMAND LINE"},
		{churn + "mapreduce: {mapper: {builtin: wordcount}}\n", Flags{},
			`job.yaml line 10: a job of kind guagua has no "mapreduce"`},
		{strings.Replace(churn, "workers:", "wokers:", 1), Flags{},
			`job.yaml line 7: unknown key "wokers" in guagua; did you mean "workers"?`},
		{strings.Replace(churn, "neural-network", "neural", 1), Flags{}, `there is no program "neural"; there are ` +
			"logistic-regression, linear-regression, kmeans, neural-network, predict, sum"},
		{churn, Flags{Reducers: "2"}, "--reducers is for jobs of kind mapreduce; say --set workers=N"},
		{churn, Flags{Set: []string{"learn-rate=2"}}, `unknown parameter "learn-rate"; did you mean "learning-rate"?`},
		{churn, Flags{Set: []string{"worker=2"}}, `unknown parameter "worker"; did you mean "workers"?`},
		{churn, Flags{Set: []string{"chekpoint=every"}}, `unknown parameter "chekpoint"; did you mean "checkpoint"?`},
		{churn, Flags{Set: []string{"workers=0.5"}}, "workers=0.5: must be a number from 0 to 100000"},
	} {
		all, err := Parse("job.yaml", []byte(c.text))
		if err == nil {
			if err = c.flags.Apply(&all[0]); err == nil {
				_, err = all[0].Job("/d")
			}
		}
		if err == nil || say.Sentence(err) != c.want || errs.KindOf(err) != errs.Invalid {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}
