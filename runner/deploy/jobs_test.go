package deploy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

// TestKillAll ends the jobs of a fleet, one of which ends by itself before it is killed, and one of which can't be.
func TestKillAll(t *testing.T) {
	states := map[scheduler.JobID]scheduler.JobState{
		"a-ends": scheduler.JobRunning, "b-runs": scheduler.JobRunning, "c-over": scheduler.JobSucceeded,
		"d-runs": scheduler.JobRunning,
	}
	var mu sync.Mutex
	var killed []string
	refuse := func(w http.ResponseWriter, kind errs.Kind) {
		w.WriteHeader(http.StatusBadRequest)
		if err := json.NewEncoder(w).Encode(map[string]string{"kind": kind.String(), "detail": "no"}); err != nil {
			t.Error(err)
		}
	}
	denied := ""
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			var list client.JobList
			for id, state := range states {
				status := embedded.Status{}
				status.Job, status.State = id, state
				list.Jobs = append(list.Jobs, status)
			}
			if err := json.NewEncoder(w).Encode(list); err != nil {
				t.Error(err)
			}
			return
		}
		switch job := path.Base(path.Dir(r.URL.Path)); job {
		case "a-ends":
			refuse(w, errs.Invalid)
		case denied:
			refuse(w, errs.Permission)
		default:
			mu.Lock()
			killed = append(killed, job)
			mu.Unlock()
			_, _ = w.Write([]byte("{}")) // the client sees what is missing
		}
	}))
	defer control.Close()
	c := client.New(client.Options{URL: control.URL})
	if err := killAll(t.Context(), c, "a test"); err != nil {
		t.Error(err)
	}
	if slices.Sort(killed); !slices.Equal(killed, []string{"b-runs", "d-runs"}) {
		t.Errorf("killed are %v", killed)
	}
	killed, denied = nil, "b-runs"
	if err := killAll(t.Context(), c, "a test"); errs.KindOf(err) != errs.Permission ||
		!slices.Equal(killed, []string{"d-runs"}) {
		t.Errorf("when one can't be killed, killed are %v, %v", killed, err)
	}
}
