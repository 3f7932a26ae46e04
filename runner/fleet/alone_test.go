package fleet

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// TestStartedOnce: many find nothing there at the same time, and one starts it.
func TestStartedOnce(t *testing.T) {
	const many = 4
	var looked, all sync.WaitGroup
	var started atomic.Int32
	looked.Add(many)
	at := mem.New()
	for range many {
		first := true
		there := func() (bool, error) {
			was := started.Load() > 0
			if first {
				first = false
				looked.Done()
				looked.Wait() // nobody goes on before all have seen that there is none
			}
			return was, nil
		}
		all.Go(func() {
			err := alone(t.Context(), at, FunctionsKey, there, func() error { started.Add(1); return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := started.Load(); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// TestLaunchRaces: a control that is replaced launches a job at the moment at which its successor does. To lose that
// race is no reason to give the job up.
func TestLaunchRaces(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/txn": // the value is another one by now
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"Errors":[{"OpIndex":0,"What":"the version differs"}]}`)
		case strings.HasPrefix(r.URL.Path, "/v1/kv/"):
			value := base64.StdEncoding.EncodeToString([]byte("3"))
			fmt.Fprintf(w, `[{"Key":%q,"Value":%q,"ModifyIndex":7}]`, strings.TrimPrefix(r.URL.Path, "/v1/kv/"), value)
		default: // Nomad knows no such job
			http.NotFound(w, r)
		}
	}))
	defer agent.Close()
	at, err := consul.Open(consul.Options{Address: agent.URL, Prefix: keyPrefix, Client: agent.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	launcher, err := nomad.Open(nomad.Options{Address: agent.URL, Client: agent.Client(), Driver: nomad.RawExec})
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	f := &Fleet{coord: at, launcher: launcher}
	if err := f.Launch(t.Context(), scheduler.Job{ID: "abcd-raced"}, 3); !errs.Retryable(err) {
		t.Errorf("it failed with %v", err)
	}
}
