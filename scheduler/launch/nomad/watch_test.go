package nomad

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// TestWatchBringsNothingBack lets a group be forgotten while somebody still watches it, as an application master does
// whose machine was cut off. What it sees last must not make Nomad keep the group's numbers for ever.
func TestWatchBringsNothingBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet:
			t.Errorf("%s %s", r.Method, r.URL)
		case strings.HasPrefix(r.URL.Path, "/v1/var/"):
			http.Error(w, "variable not found", http.StatusNotFound)
			return
		default:
			asked++
		}
		allocs := []*api.AllocationListStub{}
		switch asked {
		case 1:
			allocs = append(allocs, alloc(1, api.AllocClientStatusRunning, 0, nil))
		case 3:
			cancel()
		}
		w.Header().Set("X-Nomad-Index", "7")
		if err := json.NewEncoder(w).Encode(allocs); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	l, err := Open(Options{Driver: RawExec, Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, err := range l.Watch(ctx, id) {
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	if asked < 3 {
		t.Errorf("it looked %d times", asked)
	}
}
