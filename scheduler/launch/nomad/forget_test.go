package nomad

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

// TestTwoForget removes a group that somebody else removes at the same moment, and one that Nomad can't remove.
func TestTwoForget(t *testing.T) {
	for _, gone := range []bool{true, false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/v1/job/"):
				http.Error(w, "rpc error: DeleteJob failed: job not found", http.StatusInternalServerError)
			case r.Method == http.MethodGet && gone:
				http.Error(w, "job not found", http.StatusNotFound)
			case r.Method == http.MethodGet:
				_, _ = w.Write([]byte("{}")) // whoever asks sees an error
			}
		}))
		l, err := Open(Options{Driver: RawExec, Address: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Forget(t.Context(), id.Job, id.Role); (err == nil) != gone ||
			!gone && errs.KindOf(err) != errs.Unavailable {
			t.Errorf("gone %v: %v", gone, err)
		}
		l.Close()
		server.Close()
	}
}
