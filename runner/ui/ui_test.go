package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answer asks the page as a browser on this machine would, but for what change says.
func answer(change func(*http.Request), method, target string) *http.Response {
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Api", r.Method) })
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8088"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	New(api, Options{}).ServeHTTP(w, r)
	return w.Result()
}

func TestFiles(t *testing.T) {
	for target, kind := range map[string]string{
		"/": "text/html", "/jobs/7k2f": "text/html", "/assets/app.css": "text/css", "/assets/app.js": "text/javascript",
		"/assets/icon.svg": "image/svg+xml",
	} {
		resp := answer(nil, "GET", target)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(got, kind) {
			t.Errorf("%s: %s %s", target, resp.Status, got)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") ||
			strings.Contains(csp, "unsafe") {
			t.Errorf("%s may do: %s", target, csp)
		}
	}
	for _, target := range []string{"/assets/", "/assets/no.js", "/jobs", "/other", "/assets/..%2fui.go"} {
		if resp := answer(nil, "GET", target); resp.StatusCode != 404 {
			t.Errorf("%s: %s", target, resp.Status)
		}
	}
}

// TestNamesOfOthersAreRefused: a page elsewhere whose name has been made to lead to this machine gets nothing.
func TestNamesOfOthersAreRefused(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:8088": 200, "localhost:8088": 200, "LOCALHOST": 200, "[::1]:8088": 200, "127.8.8.8": 200,
		"evil.example": 421, "127.0.0.1.evil.example:8088": 421, "localhost.evil.example": 421, "192.0.2.7:8088": 421,
		"": 421, "0.0.0.0": 421,
	} {
		resp := answer(func(r *http.Request) { r.Host = host }, "GET", "/v1/jobs")
		if resp.StatusCode != want {
			t.Errorf("host %q: %s, want %d", host, resp.Status, want)
		}
	}
}

// TestOtherPagesChangeNothing: what a page of another origin sends does not reach the API.
func TestOtherPagesChangeNothing(t *testing.T) {
	cross := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	old := func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") } // of a browser that says no more
	own := func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:8088") }
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{"cross": {cross, 403}, "old": {old, 403}, "own": {own, 200}, "no browser": {nil, 200}} {
		resp := answer(c.change, "POST", "/v1/jobs/7k2f/kill")
		if resp.StatusCode != c.want || (c.want == 200) != (resp.Header.Get("Api") == "POST") {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}
