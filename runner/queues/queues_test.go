package queues

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler/queue"
)

func TestParse(t *testing.T) {
	got, err := Parse("q.yaml", []byte(`
preemptAfter: 1m
queues:
  - name: analytics
    share: 0.5
    max: 0.8
    children:
      - {name: reports, share: 0.4}
      - {name: adhoc, share: 0.6, order: fair, userMax: 0.5, jobs: 20}
  - name: training
    share: 0.5
`))
	want := queue.Config{Name: "root", PreemptAfter: 60, Children: []queue.Config{
		{Name: "analytics", Share: 0.5, Max: 0.8, Children: []queue.Config{
			{Name: "reports", Share: 0.4}, {Name: "adhoc", Share: 0.6, Order: queue.Fair, UserMax: 0.5, Jobs: 20},
		}},
		{Name: "training", Share: 0.5},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":           "q.yaml is no description of queues; it begins with queues:",
		"queue: []":  `q.yaml: "queues" is missing; want a list of queues`,
		"queues: []": "q.yaml line 1: queues is not understood; want a list of queues",
		"queues:\n- {name: a, share: 0.5}\n- {name: b, shares: 0.5}": `q.yaml line 3: unknown key "shares" in queues.1; did you mean "share"?`,
		"queues:\n- {name: a, share: 1.5}":                           `q.yaml line 2: share is "1.5" in queues.0; want a number from 0 to 1`,
		"queues:\n- {name: a, share: 0.7}\n- {name: b, share: 0.7}": "q.yaml: queue root: its children are guaranteed " +
			"1.4 of it, which is more than all",
		"preemptAfter: soon\nqueues:\n- {name: a}": `q.yaml line 1: "soon" is not a time; write it as in 90s, 10m or 1h30m`,
		"queues:\n- {name: a}\n- {name: a}":        "q.yaml: queue a: there are two queues of this name",
		"queues:\n- {name: a, order: random}":      `q.yaml line 2: order is "random" in queues.0; want fifo or fair`,
	} {
		_, err := Parse("q.yaml", []byte(text))
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := say.Sentence(err); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("queues:\n- {name: a, share: 0.5, children: [{name: b}]}"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = Parse("q.yaml", text) })
}
