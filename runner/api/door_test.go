package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/access"
)

// TestDoor: who may do what, and how often.
func TestDoor(t *testing.T) {
	now := time.Unix(1e9, 0)
	clock := func() time.Time { return now }
	tokens := access.NewTokens(mem.New(), clock)
	text := map[access.Role]string{}
	for role := access.Read; role <= access.Admin; role++ {
		made, _, err := tokens.Create(t.Context(), role.String(), role)
		if err != nil {
			t.Fatal(err)
		}
		text[role] = made
	}
	handler, err := New(Options{Who: tokens.Check, Rate: 1, Burst: 2, Now: clock}, JobsPart(newBoard("RUNNING"), outputs))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, token string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		handler.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		method, path, token string
		status              int
	}{
		{"GET", "/v1/jobs", "", 401},
		{"GET", "/v1/jobs", "rt_aaaaaaaa_b", 401},
		{"GET", "/v1/jobs", text[access.Read], 200},
		{"POST", "/v1/jobs/7k2a/kill", text[access.Read], 403},
		{"POST", "/v1/jobs/7k2a/kill", text[access.Submit], 200},
		{"GET", "/v1/jobs", text[access.Admin], 200},
		{"GET", "/v1/jobs", text[access.Admin], 200},
		{"GET", "/v1/jobs", text[access.Admin], 429},
	} {
		w := ask(c.method, c.path, c.token)
		if w.Code != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, w.Code, w.Body, c.status)
		}
		if asked := w.Header().Get("WWW-Authenticate") != ""; asked != (c.status == 401) {
			t.Errorf("%d with WWW-Authenticate %v", w.Code, asked)
		}
		if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d is told as %s", w.Code, w.Header().Get("Content-Type"))
		}
	}
	now = now.Add(time.Second)
	if w := ask("GET", "/v1/jobs", text[access.Admin]); w.Code != 200 {
		t.Errorf("a second later: %d %s", w.Code, w.Body)
	}
	r, w := httptest.NewRequest("GET", "/v1/jobs", nil), httptest.NewRecorder()
	r.AddCookie(&http.Cookie{Name: Cookie, Value: text[access.Submit]})
	if handler.ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("with a cookie: %d %s", w.Code, w.Body)
	}
}
