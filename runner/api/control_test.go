package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// desk is a Submitter and an Overview in memory.
type desk struct {
	submitted []client.Submission
	resumed   map[scheduler.JobID]map[string]string
	config    queue.Config
	waiting   []client.Queued
}

func (d *desk) Submit(_ context.Context, s client.Submission) (scheduler.JobID, error) {
	if s.Job == nil && s.Spec == nil {
		return "", errs.Errorf("", errs.Invalid, nil, "say what to run")
	}
	d.submitted = append(d.submitted, s)
	return "7k2a-words", nil
}

func (d *desk) Resume(_ context.Context, id scheduler.JobID, env map[string]string) error {
	d.resumed[id] = env
	return nil
}

func (d *desk) NewID(_ context.Context, name string) (scheduler.JobID, error) {
	return scheduler.JobID("7k2f-" + name), nil
}

func (d *desk) Queues(context.Context) (client.QueueList, error) {
	tree, err := queue.New(d.config)
	if err != nil {
		return client.QueueList{}, err
	}
	return client.QueueList{
		Queues: tree.Usage(queue.Snapshot{Total: queue.Resources{Cores: 1}}), Config: d.config,
		Jobs: d.waiting,
	}, nil
}

func (d *desk) SetQueues(ctx context.Context, config queue.Config) (client.QueueList, error) {
	d.config = config
	return d.Queues(ctx)
}

func (d *desk) Nodes(context.Context) (client.NodeList, error) {
	return client.NodeList{Nodes: []client.Node{{ID: "1", Name: "c1", Address: "10.0.0.1", State: "ready"}}}, nil
}

func (d *desk) Cluster(context.Context) (client.Cluster, error) {
	return client.Cluster{Name: "demo", Leader: "https://10.0.0.1:7338", Epoch: 3, Since: time.Unix(1e9, 0).UTC()}, nil
}

// newControlAsker serves what a control serves, with tokens that nobody has to show.
func newControlAsker(t *testing.T) (*asker, *desk) {
	d := &desk{
		resumed: map[scheduler.JobID]map[string]string{},
		waiting: []client.Queued{{Job: "7k2a-words", Queue: "default", Waits: "the machines are full"}},
		config:  queue.Config{Name: "root", Children: []queue.Config{{Name: "default", Share: 1}}},
	}
	counted := prometheus.NewRegistry()
	counted.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "runner_test", Help: "1."},
		func() float64 { return 1 }))
	tokens := access.NewTokens(mem.New(), time.Now)
	a := newClientOf(t, JobsPart(newBoard(), outputs), ControlPart(d, d), TokensPart(tokens), OpsPart(counted))
	return a, d
}

func TestControl(t *testing.T) {
	a, d := newControlAsker(t)
	a.ask("POST", "/v1/jobs", `{"key": "tonight", "spec": {"kind": "mapreduce"}, "env": {"A": "1"}}`, 200, "Submitted")
	if s := d.submitted; len(s) != 1 || s[0].Key != "tonight" || s[0].Env["A"] != "1" ||
		string(s[0].Spec) != `{"kind": "mapreduce"}` {
		t.Errorf("submitted was %+v", s)
	}
	a.ask("POST", "/v1/jobs", `{}`, 400, "Problem")
	a.ask("POST", "/v1/jobs", `{"spec": `, 400, "Problem")
	a.ask("POST", "/v1/jobs", strings.Repeat(" ", maxSubmission+1), 413, "Problem")
	a.ask("POST", "/v1/ids", `{"name": "words"}`, 200, "Submitted")
	a.ask("POST", "/v1/jobs/7k2a-words/resume", `{"env": {"B": "2"}}`, 200, "Submitted")
	if d.resumed["7k2a-words"]["B"] != "2" {
		t.Errorf("resumed were %v", d.resumed)
	}
	a.ask("GET", "/v1/queues", "", 200, "QueueList")
	a.ask("PUT", "/v1/queues", `{"name": "root", "children": [{"name": "nights", "share": 0.5}]}`, 200, "QueueList")
	a.ask("PUT", "/v1/queues", `{"name": "root", "children": [{"name": "nights", "share": 5}]}`, 400, "Problem")
	a.ask("GET", "/v1/nodes", "", 200, "NodeList")
	a.ask("GET", "/v1/cluster", "", 200, "Cluster")
}

// TestListsOfNames are read page by page, also when what ended a page has gone.
func TestListsOfNames(t *testing.T) {
	a, _ := newControlAsker(t)
	c := client.New(client.Options{URL: a.http.URL})
	for _, name := range []string{"one", "two", "three"} {
		if _, err := c.CreateToken(t.Context(), name, "read"); err != nil {
			t.Fatal(err)
		}
	}
	first := parse[client.TokenList](t, a.ask("GET", "/v1/tokens?limit=2", "", 200, "TokenList"))
	if len(first.Tokens) != 2 || first.Next != first.Tokens[1].ID {
		t.Fatalf("the first page is %+v", first)
	}
	if err := c.RemoveToken(t.Context(), first.Next); err != nil {
		t.Fatal(err)
	}
	second := parse[client.TokenList](t, a.ask("GET", "/v1/tokens?limit=2&after="+first.Next, "", 200, "TokenList"))
	if len(second.Tokens) != 1 || second.Next != "" || second.Tokens[0].ID <= first.Next {
		t.Errorf("the second page is %+v behind %s", second, first.Next)
	}
	a.ask("GET", "/v1/nodes?limit=-1", "", 400, "Problem")
	if none := a.ask("GET", "/v1/nodes?limit=0", "", 200, "NodeList"); !bytes.Contains(none, []byte(`"nodes":[]`)) {
		t.Errorf("no machine at all is told as %s", none)
	}
}

// TestKeyInHeader: clients that know the header only can repeat safely, too.
func TestKeyInHeader(t *testing.T) {
	a, d := newControlAsker(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", a.http.URL+"/v1/jobs", strings.NewReader(`{"spec": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", "tonight")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(d.submitted) != 1 || d.submitted[0].Key != "tonight" {
		t.Errorf("submitted was %+v", d.submitted)
	}
}

// TestClient: the Go client and the handlers mean the same.
func TestClient(t *testing.T) {
	a, d := newControlAsker(t)
	c, ctx := client.New(client.Options{URL: a.http.URL}), t.Context()
	id, err := c.Submit(ctx, client.Submission{Key: "k", Job: &scheduler.Job{Name: "words"}})
	if err != nil || id != "7k2a-words" || d.submitted[0].Job.Name != "words" {
		t.Errorf("%s, %v, %+v", id, err, d.submitted)
	}
	keyless := client.Submission{Job: &scheduler.Job{Name: "words"}}
	if _, err := c.Submit(ctx, keyless); err != nil || d.submitted[1].Key == "" {
		t.Errorf("what may have to be asked again has no key: %v", err)
	}
	if err := c.Resume(ctx, id, map[string]string{"A": "1"}); err != nil || d.resumed[id]["A"] != "1" {
		t.Errorf("%v, %v", err, d.resumed)
	}
	if q, err := c.Queues(ctx); err != nil || len(q.Queues) != 2 || q.Jobs[0].Waits == "" {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := c.SetQueues(ctx, queue.Config{Name: "root", Share: 7,
		Children: []queue.Config{{Name: "x y"}}}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a queue named x y: %v", err)
	}
	made, err := c.CreateToken(ctx, "ci", "submit")
	if err != nil || made.Text == "" || made.Role != "submit" {
		t.Errorf("%+v, %v", made, err)
	}
	if _, err := c.CreateToken(ctx, "ci", "root"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("the role root: %v", err)
	}
	if list, err := c.Tokens(ctx); err != nil || len(list.Tokens) != 1 || list.Tokens[0].Text != "" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := c.RemoveToken(ctx, made.ID); err != nil {
		t.Error(err)
	}
	if err := c.RemoveToken(ctx, made.ID); errs.KindOf(err) != errs.NotFound {
		t.Errorf("removed twice: %v", err)
	}
}

func TestOps(t *testing.T) {
	a, _ := newControlAsker(t)
	if text := a.ask("GET", "/metrics", "", 200, ""); !bytes.Contains(text, []byte("runner_test 1")) {
		t.Errorf("the metrics are %s", text)
	}
	if text := a.ask("GET", "/debug/pprof/goroutine?debug=1", "", 200, ""); !bytes.Contains(text,
		[]byte("goroutine profile")) {
		t.Errorf("the profile is %.100s", text)
	}
	a.ask("GET", "/debug/pprof/cmdline", "", 200, "")
	a.ask("GET", "/v1/tokens", "", 200, "TokenList")
	a.ask("POST", "/v1/tokens", `{"name": "ci", "role": "read"}`, 200, "Token")
}
