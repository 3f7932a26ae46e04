package integration

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/enginetest"
	storemem "github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/control"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/ui"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// oneMachine is a fleet of one machine, on which jobs start and never end.
type oneMachine struct{}

func (oneMachine) Look(context.Context, []scheduler.JobID) (fleet.View, error) {
	all := queue.Resources{Cores: 4, Memory: 8 << 30}
	return fleet.View{Total: all, Rooms: []queue.Room{{Resources: all, Machines: 1}}, Nodes: []client.Node{
		{ID: "1", Name: "c1", Address: "10.0.0.1", State: "ready", Total: all, Used: queue.Resources{Cores: 3}},
	}}, nil
}

func (oneMachine) Launch(context.Context, scheduler.Job, int) error   { return nil }
func (oneMachine) Allow(context.Context, scheduler.JobID, int) error  { return nil }
func (oneMachine) End(context.Context, scheduler.JobID, string) error { return nil }
func (oneMachine) Await(ctx context.Context, _ scheduler.Job) (r am.Report, err error) {
	<-ctx.Done()
	return r, ctx.Err()
}

// TestUIOfFleet signs in with a token, and looks at queues, of which one has a job that waits and whose user is markup
// that would do harm, and at machines.
func TestUIOfFleet(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	st := storemem.New()
	s := control.New(control.Config{
		Store: st, Coord: mem.New(), Fleet: oneMachine{}, Jobs: embedded.Jobs{Store: st}, Address: "here",
		Check:   func(context.Context, scheduler.Job) error { return nil },
		Size:    func(job scheduler.Job, _ int) (int, int) { return job.Resources.Executors, job.Resources.Executors },
		Options: control.Options{Name: "demo", Every: 50 * time.Millisecond},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended // that it was canceled
	})
	tokens := access.NewTokens(st, time.Now)
	v1, err := api.New(api.Options{Who: tokens.Check}, api.ControlPart(s, s), api.SessionPart())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ui.New(s.Handler(v1), ui.Options{Everywhere: true, Fleet: true}))
	t.Cleanup(server.Close)
	const hostile = `<img src=x onerror="document.title='taken'">`
	token, _, err := tokens.Create(t.Context(), hostile, access.Submit)
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Options{URL: server.URL, Token: token})
	for _, name := range []string{"first", "second"} {
		job := scheduler.Job{Name: name, User: "not me", Resources: scheduler.Resources{Executors: 3, CPU: 1}}
		if _, err := c.Submit(t.Context(), client.Submission{Key: name, Job: &job}); err != nil {
			t.Fatal(err)
		}
	}

	b := openBrowser(t, chromium, server.URL+"/queues")
	b.do("the way in", chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", "rt_wrong"),
		chromedp.Click("form button"),
		chromedp.WaitVisible("[role=alert]:not(:empty)"))
	text, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	b.do("queues", chromedp.Evaluate[chromedp.Void]("document.getElementById('token').value = "+string(text)),
		chromedp.Click("form button"), chromedp.WaitVisible("table.queued tbody tr:nth-child(2)"))
	shown, title := get(b, chromedp.Text("main")), get(b, chromedp.Title())
	for _, want := range []string{"demo: 1 machine", "default", hostile, "it waits until 3 executors fit at once"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page has no %q:\n%s", want, shown)
		}
	}
	if title != "Queues · Runner" {
		t.Errorf("the title is %q", title)
	}
	b.do("machines", chromedp.Click("nav a[href='/nodes']"), chromedp.WaitVisible("table.nodes meter"))
	if shown := get(b, chromedp.Text("table.nodes")); !strings.Contains(shown, "3 of 4") ||
		!strings.Contains(shown, "ready") {
		t.Errorf("the machine is shown as %q", shown)
	}
	b.onPhone("machines")
	b.do("queues in the dark", chromedp.Click("nav a[href='/queues']"),
		chromedp.WaitVisible("table.queued tbody tr:nth-child(2)"))
	b.fits()
	b.complained("401")
}
