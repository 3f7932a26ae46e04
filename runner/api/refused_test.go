package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// TestRefusals: whatever is wrong with a request is told as a problem, with the status that HTTP has for it.
func TestRefusals(t *testing.T) {
	c := newAsker(t, newBoard("RUNNING"))
	ask := func(method, path, kind, body string, status int) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, c.http.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() // only its head is looked at
		if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %s as %s, want %d", method, path, resp.Status, resp.Header.Get("Content-Type"), status)
		}
		return resp
	}
	ask("GET", "/v1/", "", "", http.StatusNotFound)
	ask("GET", "/v1/job", "", "", http.StatusNotFound)
	if allow := ask("DELETE", "/v1/jobs/7k2a", "", "", http.StatusMethodNotAllowed).Header.Get("Allow"); allow != "GET" {
		t.Errorf("allowed is %q", allow)
	}
	ask("OPTIONS", "/v1/jobs", "", "", http.StatusMethodNotAllowed)
	kill := "/v1/jobs/7k2a/kill"
	ask("POST", kill, "application/json", strings.Repeat(" ", maxBody+1), http.StatusRequestEntityTooLarge)
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "a/b/c"} {
		ask("POST", kill, kind, "{}", http.StatusUnsupportedMediaType)
	}
	ask("POST", kill, "application/json; charset=utf-8", "[", http.StatusBadRequest)
}

// TestFenced: who was replaced while it answered says so in a way that has clients ask its successor.
func TestFenced(t *testing.T) {
	w := httptest.NewRecorder()
	if WriteProblem(w, errs.E("journal.Append", errs.Fenced, nil, nil)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("it answers %d", w.Code)
	}
}

// TestEveryRouteHasADoor: without a token nothing is told or done, but for the end of a session, and no token may do
// more than its role.
func TestEveryRouteHasADoor(t *testing.T) {
	roles := map[string]access.Role{"reads": access.Read, "submits": access.Submit, "all": access.Admin}
	who := func(_ context.Context, text string) (access.Token, error) {
		if role, ok := roles[text]; ok {
			return access.Token{ID: text, Name: text, Role: role}, nil
		}
		return access.Token{}, errs.Errorf("", errs.Permission, nil, "there is no such token")
	}
	parts := []Part{
		JobsPart(newBoard(), outputs), ControlPart(&desk{}, &desk{}), TokensPart(nil), SessionPart(),
		FleetPart(&lease{}), FunctionsPart(Functions{}), SchedulesPart(cron.Book{}, Compiler{}), FilesPart(Files{}),
		OpsPart(prometheus.NewRegistry()),
	}
	routes := []Route{}
	for i := range parts {
		for j := range parts[i].Routes {
			route := &parts[i].Routes[j]
			route.Answer = func(w http.ResponseWriter, _ *http.Request) error {
				w.WriteHeader(http.StatusNoContent)
				return nil
			}
			routes = append(routes, *route)
		}
	}
	handler, err := New(Options{Who: who}, parts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range routes {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if route.Role == access.Nobody && route.Pattern != "DELETE /v1/session" {
			t.Errorf("%s is for everybody", route.Pattern)
		}
		if method != "GET" && route.Role == access.Read && route.Pattern != "POST /v1/session" {
			t.Errorf("%s changes something, and is for those who only read", route.Pattern)
		}
		for _, text := range []string{"", "nobody", "reads", "submits", "all"} {
			r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
			if text != "" {
				r.Header.Set("Authorization", "Bearer "+text)
			}
			want := http.StatusNoContent
			switch role := roles[text]; {
			case role >= route.Role:
			case role == access.Nobody:
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
			if handler.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%s asked as %q: %d, want %d", route.Pattern, text, w.Code, want)
			}
		}
	}
}
