package nodeinit

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestVotes: a server that others know of, and that has no vote among them yet, does not work yet.
func TestVotes(t *testing.T) {
	var answer string
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Nomad-Token") != "secret" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, answer) // the client sees what is missing
	}))
	defer agent.Close()
	n := &node{Machine: Machine{Address: "10.0.0.3"}, secrets: Secrets{Token: "secret"}}
	const others = `{"Servers": [{"Address": "10.0.0.1:4647", "Voter": true, "Leader": true}`
	for what, test := range map[string]struct {
		answer string
		votes  bool
	}{
		"it is not known":      {others + `]}`, false},
		"it only listens":      {others + `, {"Address": "10.0.0.3:4647", "Voter": false}]}`, false},
		"it has a vote":        {others + `, {"Address": "10.0.0.3:4647", "Voter": true}]}`, true},
		"another has its name": {others + `, {"Address": "10.0.0.33:4647", "Voter": true}]}`, false},
		"there is no leader":   {`No cluster leader`, false},
	} {
		answer = test.answer
		if err := n.votes(t.Context(), agent.Client(), agent.URL, "X-Nomad-Token"); (err == nil) != test.votes {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := n.votes(t.Context(), agent.Client(), agent.URL, "X-Consul-Token"); err == nil {
		t.Error("who may not ask has a vote")
	}
}
