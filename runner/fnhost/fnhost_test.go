package fnhost_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fnhost"
)

// newHome makes a home with the function greet.
func newHome(t *testing.T) *embedded.Home {
	t.Helper()
	dir, err := os.MkdirTemp("", "fnhost") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // should it stay, nobody minds
	t.Setenv(embedded.HomeEnv, dir)
	home, err := embedded.OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "greet")
	if _, err := pack.Init(folder, "shell"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (pack.Registry{Store: home.Store}).Push(t.Context(), folder, pack.Live, "tester"); err != nil {
		t.Fatal(err)
	}
	return home
}

// serve starts a host and returns how it ends.
func serve(t *testing.T, site fnhost.Site, o fnhost.Options) <-chan error {
	t.Helper()
	ready, end := make(chan struct{}), make(chan error, 1)
	o.Ready, o.Log = func() { close(ready) }, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { end <- fnhost.Serve(ctx, site, o) }()
	select {
	case <-ready:
	case err := <-end:
		t.Fatal(err)
	}
	return end
}

func TestTheHostEndsWhenItIsIdle(t *testing.T) {
	home := newHome(t)
	end := serve(t, fnhost.AtHome(home), fnhost.Options{Idle: 200 * time.Millisecond})
	if err := <-end; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(fnhost.Dir(home), "host.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestThereIsOneHost(t *testing.T) {
	home := newHome(t)
	end := serve(t, fnhost.AtHome(home), fnhost.Options{})
	err := fnhost.Serve(t.Context(), fnhost.AtHome(home), fnhost.Options{Log: slog.New(slog.DiscardHandler)})
	if errs.KindOf(err) != errs.Exist {
		t.Errorf("a second host: %v", err)
	}
	client := fnhost.NewClient(home)
	defer client.Close()
	if running, err := client.Stop(t.Context()); !running || err != nil {
		t.Errorf("stopped %v, %v", running, err)
	}
	if err := <-end; err != nil {
		t.Error(err)
	}
	if running, err := client.Stop(t.Context()); running || err != nil {
		t.Errorf("what does not run was stopped: %v, %v", running, err)
	}
}

// TestStopWaits for a host that takes its time, and answers meanwhile: it has children to end.
func TestStopWaits(t *testing.T) {
	home := newHome(t)
	lease, err := home.Coord.Acquire(t.Context(), "functions/host", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(fnhost.Dir(home), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(fnhost.Dir(home), "host.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	host := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.AfterFunc(300*time.Millisecond, func() { ended <- lease.Release(context.Background()) })
	}))
	_ = host.Listener.Close() // another one is served
	host.Listener = listener
	host.Start()
	defer host.Close()
	client := fnhost.NewClient(home)
	defer client.Close()
	if running, err := client.Stop(t.Context()); !running || err != nil {
		t.Errorf("stopped %v, %v", running, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestForward: what asks for the page's API gets the host's answer, problems included.
func TestForward(t *testing.T) {
	home := newHome(t)
	serve(t, fnhost.AtHome(home), fnhost.Options{})
	client := fnhost.NewClient(home)
	defer client.Close()
	for path, want := range map[string]string{
		"/v1/functions/greet/invocations": `{"event":2}`, "/v1/functions/great/invocations": `Did you mean greet?`,
	} {
		w := httptest.NewRecorder()
		if err := client.Forward(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("2"))); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestStrangers may not ask a host that wants to know its callers, nor stop it.
func TestStrangers(t *testing.T) {
	home := newHome(t)
	site := fnhost.AtHome(home)
	where := make(chan string, 1)
	site.Listen = func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
	site.Announce = func(_ context.Context, at net.Addr) error { where <- "http://" + at.String(); return nil }
	site.Who = func(_ context.Context, text string) (access.Token, error) {
		if text != "password" {
			return access.Token{}, errs.E("who", errs.Permission, nil, nil)
		}
		return access.Token{Name: "control", Role: access.Admin}, nil
	}
	serve(t, site, fnhost.Options{})
	base := <-where
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/v1/functions/greet/invocations", "", 401}, {"/v1/functions/greet/invocations", "guess", 401},
		{"/v1/functions/greet/invocations", "password", 200}, {"/stop", "password", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+c.path, strings.NewReader("3"))
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		req.Header.Set(api.KeyHeader, "k")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close() != nil || resp.StatusCode != c.want {
			t.Errorf("%s with %q: %s, want %d", c.path, c.token, resp.Status, c.want)
		}
	}
}

func TestAPathThatIsTooLong(t *testing.T) {
	t.Setenv(embedded.HomeEnv, filepath.Join(t.TempDir(), strings.Repeat("x", 100)))
	home, err := embedded.OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	err = fnhost.Serve(t.Context(), fnhost.AtHome(home), fnhost.Options{Log: slog.New(slog.DiscardHandler)})
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.Cause(err), "too long for a socket") {
		t.Errorf("%v", err)
	}
	client := fnhost.NewClient(home)
	defer client.Close()
	if _, err := client.Invoke(t.Context(), invoke.Request{Function: "greet"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("asking: %v", err)
	}
}
