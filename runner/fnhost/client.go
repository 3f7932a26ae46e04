package fnhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
)

// Client asks the host of functions. Its methods may be called by many goroutines.
type Client struct {
	http  *http.Client
	where func(ctx context.Context) (string, error) // the URL to ask
	token string
	home  *embedded.Home // whose host is started when there is none; nil: others see to that
}

// NewClient returns a client for the host of a home.
func NewClient(home *embedded.Home) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket(home))
	}
	return &Client{
		home: home, where: func(context.Context) (string, error) { return "http://functions", checkSocket(home) },
		http: &http.Client{Transport: &http.Transport{
			DialContext: dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true,
		}},
	}
}

// FleetClient returns a client that asks a fleet's control, which sees to it that there is a host.
func FleetClient(f *fleet.Fleet) (*Client, error) {
	where, token, transport, err := f.API()
	if err != nil {
		return nil, err
	}
	return &Client{http: &http.Client{Transport: transport}, where: where, token: token}, nil
}

// Close gives the connections back. The host goes on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Forward asks the host what it is asked itself.
func (c *Client) Forward(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, invoke.MaxPayload))
	if err != nil {
		return say.Errorf(errs.Invalid, "the request cannot be read: %s", errs.Cause(err))
	}
	answer, err := c.do(r.Context(), r.Method, r.URL.RequestURI(), body, r.Header)
	if err != nil {
		return err
	}
	defer answer.Body.Close() // only read
	for _, name := range []string{"Content-Type", "Cache-Control", api.InvocationHeader} {
		if value := answer.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the caller has gone
	return nil
}

// Answer is what became of an invocation.
type Answer struct {
	ID     invoke.ID
	Result []byte // nil of one that is not over
}

// Invoke hands an event to a function. Should the host die meanwhile, the next one is asked again: with a key the
// function may run twice for that, and its first result is the answer.
func (c *Client) Invoke(ctx context.Context, r invoke.Request) (Answer, error) {
	path := "/v1/functions/" + url.PathEscape(r.Function) + "/invocations"
	if r.Async {
		path += "?async=1"
	}
	return c.ask(ctx, http.MethodPost, path, r.Event, http.Header{api.KeyHeader: {r.Key}})
}

// Result waits for the end of an invocation.
func (c *Client) Result(ctx context.Context, id invoke.ID) (Answer, error) {
	return c.ask(ctx, http.MethodGet, "/v1/invocations/"+url.PathEscape(string(id))+"/result?wait=300", nil, nil)
}

// Log returns what was said about an invocation.
func (c *Client) Log(ctx context.Context, id invoke.ID) ([]byte, error) {
	a, err := c.ask(ctx, http.MethodGet, "/v1/invocations/"+url.PathEscape(string(id))+"/log", nil, nil)
	return a.Result, err
}

// Redrive queues dead letters of a function again: those with the given ids, or all.
func (c *Client) Redrive(ctx context.Context, function string, ids []invoke.ID) (int, error) {
	body, err := json.Marshal(map[string][]invoke.ID{"invocations": ids})
	if err != nil {
		return 0, errs.E("fnhost.Redrive", errs.Internal, nil, err)
	}
	a, err := c.ask(ctx, http.MethodPost, "/v1/functions/"+url.PathEscape(function)+"/redrive", body, nil)
	if err != nil {
		return 0, err
	}
	var n struct{ Redriven int }
	if err := json.Unmarshal(a.Result, &n); err != nil {
		return 0, errs.E("fnhost.Redrive", errs.Corrupt, nil, err)
	}
	return n.Redriven, nil
}

// Stop ends the host, if there is one; running is false if not. What was accepted goes on with the next.
func (c *Client) Stop(ctx context.Context) (running bool, err error) {
	if c.home == nil {
		return false, say.Errorf(errs.Unsupported, "the host of a fleet ends when it has nothing to do")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://functions/stop", nil)
	if err != nil {
		return false, errs.E("fnhost.Stop", errs.Internal, nil, err)
	}
	answer, err := c.http.Do(request)
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, errs.E("fnhost.Stop", errs.Unavailable, nil, err)
	}
	_ = answer.Body.Close() // it is empty
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lease, err := c.home.Coord.Acquire(limited, leaseKey, leaseTTL) // it answers almost until it has ended
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return true, say.Errorf(errs.Unavailable, "the host of functions has not ended within %v, or there is another one",
			patience)
	}
	if err != nil {
		return true, err
	}
	return true, lease.Release(ctx)
}

// ask asks until there is an answer, and turns a problem into the error that it was. The host is asked again if it died
// or ended meanwhile.
func (c *Client) ask(ctx context.Context, method, path string, body []byte, header http.Header) (a Answer, err error) {
	again := backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(time.Minute)), ctx)
	err = backoff.Retry(func() error {
		a, err = c.once(ctx, method, path, body, header)
		if err != nil && (!errs.Retryable(err) || ctx.Err() != nil) {
			return backoff.Permanent(err)
		}
		return err
	}, again)
	return a, err
}

func (c *Client) once(ctx context.Context, method, path string, body []byte, header http.Header) (Answer, error) {
	const op = "fnhost.ask"
	answer, err := c.do(ctx, method, path, body, header)
	if err != nil {
		return Answer{}, err
	}
	defer answer.Body.Close() // only read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return Answer{}, errs.E(op, errs.Unavailable, path, err)
	}
	a := Answer{ID: invoke.ID(answer.Header.Get(api.InvocationHeader)), Result: text}
	if answer.StatusCode < 300 {
		return a, nil
	}
	var problem struct{ Detail, Kind string }
	if err := json.Unmarshal(text, &problem); err != nil {
		return a, errs.Errorf(op, errs.Unavailable, path, "%s: %.200s", answer.Status, text)
	}
	return a, say.Errorf(errs.ParseKind(problem.Kind), "%s", problem.Detail)
}

// do sends a request, and starts the host for it if there is none.
func (c *Client) do(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	const op = "fnhost.ask"
	base, err := c.where(ctx)
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
		if err != nil {
			return nil, errs.E(op, errs.Internal, path, err)
		}
		for _, name := range []string{api.KeyHeader, "Content-Type"} {
			if value := header.Get(name); value != "" {
				request.Header.Set(name, value)
			}
		}
		if c.token != "" {
			request.Header.Set("Authorization", "Bearer "+c.token)
		}
		answer, err := c.http.Do(request)
		switch {
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return nil, errs.E(op, errs.Canceled, nil, context.Cause(ctx))
		case !absent(err) || tries > 0 || c.home == nil:
			return nil, errs.E(op, errs.Unavailable, "the host of functions", err)
		}
		if err := c.start(); err != nil {
			return nil, err
		}
	}
}

// absent reports whether an error says that no host listens.
func absent(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// readyLine is what a host says on its standard output when it answers.
const readyLine = "ready"

// Ready tells whoever has started this process as the host that it answers.
func Ready(out io.Writer) func() { return func() { fmt.Fprintln(out, readyLine) } }

// start starts a host, in a session of its own so that it outlives this terminal, and waits until it answers. Of
// several that are started at once one stays; the others end when they find it.
func (c *Client) start() error {
	const op = "fnhost.start"
	if err := os.MkdirAll(Dir(c.home), 0o700); err != nil {
		return errs.E(op, errs.Other, Dir(c.home), err)
	}
	log, err := os.OpenFile(filepath.Join(Dir(c.home), "host.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	defer log.Close() // the host has its own descriptor
	program, err := os.Executable()
	if err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	cmd := exec.Command(program, "fn", "serve", "--background")
	cmd.Env = append(os.Environ(), embedded.HomeEnv+"="+c.home.Dir)
	cmd.Dir, cmd.Stderr = "/", log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	if err := cmd.Start(); err != nil {
		return errs.E(op, errs.Other, program, err)
	}
	line := make([]byte, len(readyLine)+1)
	if _, err := io.ReadFull(said, line); err == nil && strings.TrimSpace(string(line)) == readyLine {
		return cmd.Process.Release()
	}
	kind := errs.Failed
	if exit, ok := errors.AsType[*exec.ExitError](cmd.Wait()); ok {
		switch exit.ExitCode() {
		case say.ExitUsage:
			return nil // somebody else's was quicker
		case -1:
			kind = errs.Unavailable // it was killed; the next one may live
		}
	}
	return say.Errorf(kind, "the host of functions cannot be started; see %s", log.Name())
}
