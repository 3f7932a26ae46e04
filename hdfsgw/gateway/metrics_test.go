package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// TestMetrics reads what a leader and a standby count, with and without the token that all requests need.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, o := mem.New(), Options{Coord: coordmem.New(), Web: webhdfs.Options{Tokens: map[string]string{"secret": "root"}}}
		leader, stopLeader := start(t, st, o)
		leads(t, leader)
		standby, stopStandby := start(t, st, o)
		defer stopLeader()
		defer stopStandby()
		if code, body := ask(leader, "PUT", "/f?op=CREATE&namenoderpcaddress=x&delegation=secret", "hello"); code != 201 {
			t.Fatal(code, body)
		}
		for _, c := range []struct {
			g                 *Gateway
			method, token     string
			status            int
			contains, without string
		}{
			{leader, "GET", "secret", http.StatusOK, "runner_gateway_inodes 2\nrunner_gateway_leads 1\n", "leads 0"},
			{standby, "GET", "secret", http.StatusOK, "runner_gateway_leads 0\n", "inodes"},
			{leader, "GET", "guess", http.StatusUnauthorized, "authentication", "runner_gateway"},
			{leader, "GET", "", http.StatusUnauthorized, "authentication", "runner_gateway"},
			{leader, "PUT", "secret", http.StatusMethodNotAllowed, "GET", "runner_gateway"},
		} {
			counted := prometheus.NewPedanticRegistry()
			counted.MustRegister(c.g.Collector())
			r := httptest.NewRequest(c.method, "http://gw:1/metrics", nil)
			if c.token != "" {
				r.Header.Set("Authorization", "Bearer "+c.token)
			}
			w := httptest.NewRecorder()
			c.g.Metrics(counted).ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != c.status || !strings.Contains(withoutComments(body), c.contains) || strings.Contains(body, c.without) {
				t.Errorf("%s with %q: %d %s", c.method, c.token, w.Code, body)
			}
		}
	})
}

// withoutComments leaves the lines of numbers.
func withoutComments(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
