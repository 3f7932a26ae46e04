package fakecloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// TestSchedulesOfOthersGo lets the schedule of a fleet go between the list and the look at it.
func TestSchedulesOfOthersGo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/schedules":
			fmt.Fprint(w, `{"Schedules": [{"Name": "goes", "GroupName": "g"}, {"Name": "stays", "GroupName": "g"}]}`)
		case "/schedules/stays":
			fmt.Fprint(w, `{"Name": "stays", "GroupName": "g", "State": "ENABLED"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	c := &Cloud{moto: newMoto(server.URL, fleettest.Region)}
	all, err := c.Schedules(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != "stays" || all[0].State != "ENABLED" {
		t.Errorf("there are %+v, %v", all, err)
	}
}
