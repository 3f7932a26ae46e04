package builtin_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestEveryFunctionHasItsRoles(t *testing.T) {
	params := functions.Params{"pattern": "a", "records": "1"}
	for _, f := range builtin.Functions() {
		_, mapErr := builtin.Mapper(f.Name, params)
		_, combineErr := builtin.Combiner(f.Name, params)
		_, reduceErr := builtin.Reducer(f.Name, params)
		for role, err := range map[string]error{"mapper": mapErr, "combiner": combineErr, "reducer": reduceErr} {
			if has := slices.Contains(f.Roles, role); has != (err == nil) {
				t.Errorf("%s as %s: roles %v, but error %v", f.Name, role, f.Roles, err)
			}
		}
		if f.Doc == "" || f.Roles == nil {
			t.Errorf("%s is not described", f.Name)
		}
	}
	if !slices.IsSortedFunc(builtin.Functions(), func(a, b builtin.Info) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("functions are not in the order of their names")
	}
}

func TestEveryJobStandsUp(t *testing.T) {
	for _, j := range builtin.Jobs() {
		params := functions.Params{}
		for _, p := range j.Params() {
			if p.Required {
				params[p.Name] = "1"
			}
		}
		if err := j.Check(params); err != nil {
			t.Errorf("%s: %v", j.Name, err)
		}
		if got, ok := builtin.Job(j.Name); !ok || got.Doc == "" || len(got.Examples) == 0 {
			t.Errorf("%s is not described", j.Name)
		}
	}
	if _, ok := builtin.Job("wordcuont"); ok {
		t.Error("found a job that there is not")
	}
}

func TestMistakesAreToldInOneSentence(t *testing.T) {
	mapper := func(name string, params functions.Params) error { _, err := builtin.Mapper(name, params); return err }
	combiner := func(name string) error { _, err := builtin.Combiner(name, nil); return err }
	check := func(job string, params functions.Params) error {
		j, _ := builtin.Job(job)
		return j.Check(params)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{mapper("wordcuont", nil), `there is no built-in mapper "wordcuont"; did you mean "wordcount"?`},
		{combiner("count"), `there is no built-in combiner "count"; there is aggregate, max, min, sum, wordmean`},
		{mapper("grep", nil),
			`parameter "pattern" is missing (the regular expression to look for, in Go's syntax (RE2)); say --set pattern=...`},
		{mapper("grep", functions.Params{"pattern": "(a"}),
			"pattern \"(a\" is no regular expression: missing closing ): `(a`"},
		{mapper("grep", functions.Params{"pattern": "(a)", "group": "2"}),
			`group "2" of a pattern that has groups 0 (all of it) to 1`},
		{mapper("aggregate", functions.Params{"op": "meann"}),
			`"meann" is not a value of parameter "op"; did you mean "mean"?`},
		{mapper("aggregate", functions.Params{"type": "decimal"}),
			`"decimal" is not a value of parameter "type"; there is int, float`},
		{check("grep", functions.Params{"pattern": "a", "patern": "b"}),
			`unknown parameter "patern"; did you mean "pattern"?`},
		{check("wordcount", functions.Params{"x": "1"}), `unknown parameter "x"`},
		{check("aggregate", functions.Params{"op": "meen"}), `"meen" is not a value of parameter "op"; did you mean "mean"?`},
	} {
		if !errors.Is(c.err, errs.Invalid) {
			t.Errorf("%v is not of kind Invalid", c.err)
			continue
		}
		if got := errs.Cause(c.err); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
