package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/shell"
)

const hostileName = `<img src=x onerror=alert(1)>.txt`

// filesAsker serves one bucket, of which the folder own is hidden.
func filesAsker(t *testing.T) *asker {
	st := mem.New()
	for name, text := range map[store.Name]string{
		"in/a.txt": "one\ntwo\n", "in/deep/b.txt": "b", store.Name("in/" + hostileName): "harm", "in/empty": "",
		"own/tokens/1": "secret", "ownership": "o",
	} {
		if err := store.Put(t.Context(), st, name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return newClientOf(t, FilesPart(Files{
		Roots: []string{"s3://demo/"}, Hidden: []string{"s3://demo/own/"},
		Open: func(_ context.Context, place string) (shell.System, error) { return shell.Objects(st, place), nil },
	}))
}

func listOf(t *testing.T, a *asker, query string) (names []string, next string) {
	t.Helper()
	list := parse[client.FileList](t, a.ask("GET", "/v1/files?"+query, "", 200, "FileList"))
	for _, f := range list.Entries {
		if f.Folder {
			f.Name += "/"
		}
		names = append(names, f.Name)
	}
	return names, list.Next
}

func TestFolders(t *testing.T) {
	a := filesAsker(t)
	if roots := parse[client.FileList](t, a.ask("GET", "/v1/files", "", 200, "FileList")).Roots; len(roots) != 1 ||
		roots[0] != "s3://demo/" {
		t.Errorf("one can begin at %v", roots)
	}
	if names, next := listOf(t, a, "path=s3://demo/"); strings.Join(names, " ") != "in/ ownership" || next != "" {
		t.Errorf("the bucket has %v, next %q", names, next)
	}
	var all []string
	for query, next := "path=s3://demo/in&limit=2", "?"; next != ""; {
		var names []string
		names, next = listOf(t, a, query)
		all = append(all, names...)
		query = "path=s3://demo/in&limit=2&after=" + url.QueryEscape(next)
	}
	if want := hostileName + " a.txt deep/ empty"; strings.Join(all, " ") != want {
		t.Errorf("page by page the folder has %q, want %q", strings.Join(all, " "), want)
	}
	for query, status := range map[string]int{
		"path=s3://demo/own": 403, "path=s3://demo/in/../own/tokens": 403, "path=s3://other/": 403, "path=file:///etc": 403,
		"path=s3://demo/nothing": 404, "path=s3://demo/in/a.txt": 400, "path=s3://demo/in&limit=x": 400, "path=": 403,
	} {
		a.ask("GET", "/v1/files?"+query, "", status, "Problem")
	}
}

func TestContents(t *testing.T) {
	a := filesAsker(t)
	if text := a.ask("GET", "/v1/files/content?path=s3://demo/in/a.txt&offset=4", "", 200, ""); string(text) != "two\n" {
		t.Errorf("from byte 4 on it is %q", text)
	}
	for query, status := range map[string]int{
		"path=s3://demo/in": 400, "path=s3://demo/own/tokens/1": 403, "path=s3://demo/in/c": 404,
		"path=s3://demo/in/a.txt&download=2": 400,
	} {
		a.ask("GET", "/v1/files/content?"+query, "", status, "")
	}
	for name, want := range map[string]string{"in/a.txt": "one\ntwo\n", "in/empty": "", "in/" + hostileName: "harm"} {
		resp, err := http.Get(a.http.URL + "/v1/files/content?download=1&path=" + url.QueryEscape("s3://demo/"+name))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		h := resp.Header
		if h.Get("Content-Type") != "application/octet-stream" ||
			!strings.HasPrefix(h.Get("Content-Disposition"), "attachment") ||
			h.Get("X-Content-Type-Options") != "nosniff" || resp.ContentLength != int64(len(want)) {
			t.Errorf("%s is sent as %v", name, h)
		}
	}
}

// lease is a Lifetime in memory.
type lease struct{ until time.Time }

func (l *lease) Fleet(context.Context) (client.Fleet, error) {
	return client.Fleet{Name: "demo", Provider: "local", Phase: "deployed", Expires: l.until,
		Machines: []client.Machine{}}, nil
}

func (l *lease) Extend(_ context.Context, ttl time.Duration) error {
	if ttl > 24*time.Hour {
		return errs.Errorf("", errs.Invalid, nil, "a day is the most")
	}
	l.until = time.Unix(0, 0).Add(ttl).UTC()
	return nil
}

// TestExtend: who may do everything gives a fleet more time, others don't.
func TestExtend(t *testing.T) {
	l := &lease{}
	a := newClientOf(t, FleetPart(l))
	a.ask("GET", "/v1/fleet", "", 200, "Fleet")
	got := parse[client.Fleet](t, a.ask("POST", "/v1/fleet/extend", `{"seconds": 3600}`, 200, "Fleet"))
	if !got.Expires.Equal(time.Unix(3600, 0)) {
		t.Errorf("it ends at %v", got.Expires)
	}
	for _, body := range []string{`{"seconds": 0}`, `{"seconds": -5}`, `{"seconds": 1e300}`, `{}`, `{"seconds": 1e6}`} {
		a.ask("POST", "/v1/fleet/extend", body, 400, "Problem")
	}

	handler, err := New(Options{Who: func(_ context.Context, text string) (access.Token, error) {
		role, err := access.ParseRole(text)
		return access.Token{ID: text, Name: text, Role: role}, err
	}}, FleetPart(l))
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]int{"read": 403, "submit": 403, "admin": 200} {
		r, w := httptest.NewRequest("POST", "/v1/fleet/extend", strings.NewReader(`{"seconds": 60}`)), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+role)
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s gives it more time: %d %s", role, w.Code, w.Body)
		}
	}
}
