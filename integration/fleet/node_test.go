package fleet_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/runner/nodeinit"
)

// TestNodeTells asks every machine's node how it is, what it counts, and for logs that are not the caller's.
func TestNodeTells(t *testing.T) {
	tr := newTrial(t)
	id := tr.start("run", "crash.yaml").end().Job
	client := &http.Client{Timeout: 10 * time.Second}
	get := func(url, secret string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		tr.must(err)
		req.Header.Set("Authorization", "Bearer "+secret)
		resp, err := client.Do(req)
		tr.must(err)
		defer resp.Body.Close() // only read
		text, err := io.ReadAll(resp.Body)
		tr.must(err)
		return resp.StatusCode, string(text)
	}
	for _, m := range tr.cluster.State.Machines {
		if m.Role == nodeinit.Server {
			continue
		}
		base := "http://" + m.Address + ":7337"
		if code, text := get(base+"/health", ""); code != http.StatusOK {
			t.Errorf("%s is short of %s", m.Name, text)
		}
		code, text := get(base+"/metrics", "")
		if code != http.StatusOK || !strings.Contains(text, "runner_node_disk_free_bytes ") {
			t.Errorf("%s counts nothing: %d\n%s", m.Name, code, text)
		}
		for _, path := range []string{"/logs/" + string(id) + "/", "/v1/" + string(id) + "/map-0.0?lo=0&hi=1"} {
			if code, _ := get(base+path, "not the secret"); code/100 != 4 {
				t.Errorf("%s%s answers a stranger with %d", m.Name, path, code)
			}
		}
	}
	tr.must(tr.cluster.Eventually(t.Context(), func() error { // the job's end is told to control first
		for _, m := range tr.cluster.State.Machines {
			if m.Role == nodeinit.Server {
				continue
			}
			_, text := get("http://"+m.Address+":7337/metrics", "")
			if strings.Contains(text, `runner_node_swept_total{kind="node"}`) {
				return nil
			}
		}
		return errors.New("no node has removed what the job left")
	}))
}

// TestStoreHangs stops the store for a while in the middle of a job, as a machine that hangs.
func TestStoreHangs(t *testing.T) {
	survive(t, func(tr *trial) {
		tr.must(tr.cluster.Pause("s3"))
		time.AfterFunc(4*time.Second, func() {
			if err := tr.cluster.Resume("s3"); err != nil {
				t.Error(err)
			}
		})
	}, nothing)
}
