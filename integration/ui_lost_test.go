package integration

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/ui"
	"github.com/seed3322913c/runner/scheduler"
)

// replaced is a control that nobody leads yet when a job is asked for, and that follows it then and goes; after a while in
// which nobody leads another one follows the job to its end.
type replaced struct {
	paidJob
	followed *atomic.Int32
	goes     chan struct{} // closed when the first control does
}

func (r replaced) Watch(ctx context.Context, job scheduler.Job) iter.Seq2[embedded.Status, error] {
	return func(yield func(embedded.Status, error) bool) {
		s, err := r.Status(ctx, job)
		if r.followed.Load() > 2 {
			yield(s, err)
			return
		}
		s.State = scheduler.JobRunning
		yield(s, err)
		select {
		case <-r.goes:
		case <-ctx.Done():
		}
	}
}

// TestUIFollowsTheNextControl: the page of a job goes on when the control that told of it is replaced.
func TestUIFollowsTheNextControl(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	followed, goes := new(atomic.Int32), make(chan struct{})
	v1, err := api.New(api.Options{}, api.JobsPart(replaced{paidJob{time.Unix(1e9, 0)}, followed, goes}, nil))
	if err != nil {
		t.Fatal(err)
	}
	page := ui.New(v1, ui.Options{Fleet: true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") && followed.Add(1)%2 == 1 && followed.Load() < 4 {
			api.WriteProblem(w, errs.E("", errs.Unavailable, nil, nil))
			return
		}
		page.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b := openBrowser(t, chromium, server.URL+"/jobs/7k2f")
	b.do("a job that runs", chromedp.WaitVisible("h1 + .running"))
	close(goes)
	b.do("the same job with the next control", chromedp.WaitVisible("h1 + .succeeded"))
	b.complained("503") // which the browser itself says of an answer
}
