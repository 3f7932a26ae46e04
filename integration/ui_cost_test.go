package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/ui"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// paidJob is a job that has run on machines that somebody pays for, with attempts of every fate.
type paidJob struct{ at time.Time }

func (paidJob) job() scheduler.Job {
	return scheduler.Job{
		ID: "7k2f-sessions", Name: "sessions", Kind: "mapreduce", Engine: json.RawMessage(`{"mapper":{"builtin":"grep"}}`),
		Resources: scheduler.Resources{CPU: 1, Memory: 1 << 30},
	}
}

func (p paidJob) All(context.Context) ([]scheduler.Job, error) { return []scheduler.Job{p.job()}, nil }

func (p paidJob) Find(context.Context, string) (scheduler.Job, error) { return p.job(), nil }

func (p paidJob) Kill(ctx context.Context, job scheduler.Job, _ string) (embedded.Status, error) {
	return p.Status(ctx, job)
}

func (p paidJob) Status(_ context.Context, job scheduler.Job) (embedded.Status, error) {
	const maps = 200
	s := embedded.Status{Output: "s3://demo/out", Report: am.Report{
		Job: job.ID, Name: job.Name, Kind: job.Kind, State: scheduler.JobSucceeded, Submitted: p.at, Started: p.at,
		Ended: p.at.Add(2 * time.Minute), Masters: 1,
		Stages: []am.StageReport{{Name: "map", Tasks: maps, Done: maps, Lost: 4, Killed: 4, Weight: 50e9, Worked: 50e9,
			Started: p.at, Ended: p.at.Add(2 * time.Minute)}},
	}}
	for i := range 12 {
		s.Executors = append(s.Executors, am.ExecutorReport{ID: fmt.Sprintf("executor-%d.0", i), Cores: 1})
	}
	for i := range maps {
		a := am.AttemptReport{
			ID: scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: i}}, State: scheduler.AttemptSucceeded,
			Executor: fmt.Sprintf("executor-%d.0", i%12), Start: p.at.Add(time.Duration(i/12) * 7 * time.Second),
		}
		a.End = a.Start.Add(time.Duration(5000+i*7) * time.Millisecond)
		switch i % 50 {
		case 7:
			a.State, a.Error = scheduler.AttemptLost, "executor-7.0 has not been heard of for 10 s"
		case 11:
			a.State = scheduler.AttemptKilled
		case 13:
			a.End = a.Start.Add(40 * time.Second)
		}
		s.Attempts = append(s.Attempts, a)
	}
	return s, nil
}

func (paidJob) Logs(scheduler.JobID) fs.FS {
	return fstest.MapFS{"map-7.0@10.0.0.7.log": {Data: []byte("the last words\n")}}
}

func (paidJob) Used(context.Context, am.Report) client.Usage {
	return client.Usage{
		CoreSeconds: 1234.56, Requests: 8123, Puts: 420, BytesRead: 50e9, BytesWritten: 3e9, Shuffled: 9.8e9,
		USD: 0.31457, Price: &client.Price{Machines: 0.182, Requests: 0.00157, Moved: 0.131}, PricesOf: "2026-11-01",
	}
}

// TestUIOfCost looks at what a job has cost on a fleet, and at those of its attempts that went another way.
func TestUIOfCost(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	v1, err := api.New(api.Options{}, api.JobsPart(paidJob{at}, nil))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ui.New(v1, ui.Options{Fleet: true}))
	t.Cleanup(server.Close)

	b := openBrowser(t, chromium, server.URL+"/jobs/7k2f")
	b.do("a job with its cost", chromedp.WaitVisible(".tasks .killed"), chromedp.WaitVisible(".facts .big"))
	shown := get(b, chromedp.Text("main"))
	for _, want := range []string{
		"about $0.31", "1,234.6 core-seconds, $0.18", "8,123 requests, $0.0016", "50.0 GB, free", "9.8 GB, $0.13",
		"prices of 2026-11-01", "It said nothing.", "170 more were as usual",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page has no %q:\n%s", want, shown)
		}
	}
	b.do("what a lost attempt said", chromedp.Click(".tasks a"), chromedp.WaitVisible(".logs pre:not(:empty)"))
	if said := get(b, chromedp.Text(".logs pre")); strings.TrimSpace(said) != "the last words" {
		t.Errorf("its log is shown as %q", said)
	}
	b.onPhone("a job with its cost")
	b.complained()
}
