package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
)

// FunctionList is a page of functions, in order of their names.
type FunctionList struct {
	Functions []Function `json:"functions"`
	Next      string     `json:"next,omitempty"` // what to say as after for the next page
}

// Function is a function in a list.
type Function struct {
	Name     string        `json:"name"`
	Kind     pack.Kind     `json:"kind"`
	Live     int           `json:"live,omitempty"` // the version that is meant when nobody says one
	Latest   int           `json:"latest"`
	Pushed   time.Time     `json:"pushed"`
	Handlers int           `json:"handlers"` // that run, if who answers knows
	Stats    FunctionStats `json:"stats"`
}

// FunctionStats say how a function does, with times in milliseconds.
type FunctionStats struct {
	Queued    int       `json:"queued"`
	Succeeded int       `json:"succeeded"`
	Dead      int       `json:"dead"`
	P50       float64   `json:"p50_ms"`
	P95       float64   `json:"p95_ms"`
	P99       float64   `json:"p99_ms"`
	Last      time.Time `json:"last,omitzero"`
}

// FunctionPush asks that a package becomes the next version of a function.
type FunctionPush struct {
	Package  string `json:"package"`  // SHA-256 of an archive that is in the store
	Manifest string `json:"manifest"` // the function.yaml in it
	Alias    string `json:"alias,omitempty"`
	By       string `json:"by,omitempty"` // who pushes, if an administrator asks for others
	// Env is what secrets of the form env:NAME mean. They are kept where the function's own handlers alone read them.
	Env map[string]string `json:"env,omitempty"`
}

// FunctionPushed is what became of a push.
type FunctionPushed struct {
	Version pack.Version `json:"version"`
	Pushed  bool         `json:"pushed"` // false: it was the latest already
}

// Invocation is an invocation without its payloads.
type Invocation struct {
	ID        invoke.ID    `json:"id"`
	Function  string       `json:"function"`
	Version   int          `json:"version"`
	Key       string       `json:"key,omitempty"`
	State     invoke.State `json:"state"`
	Attempts  int          `json:"attempts"`
	Accepted  time.Time    `json:"accepted"`
	NotBefore time.Time    `json:"not_before,omitzero"`
	Ended     time.Time    `json:"ended,omitzero"`
	Took      float64      `json:"took_ms"` // of the last attempt
	Event     int64        `json:"event_bytes"`
	Result    int64        `json:"result_bytes"`
	Error     string       `json:"error,omitempty"`
	Kind      string       `json:"kind,omitempty"`
}

// InvocationList is a page of invocations, the latest first.
type InvocationList struct {
	Invocations []Invocation `json:"invocations"`
	Total       int          `json:"total"`
	Next        string       `json:"next,omitempty"` // what to say as after for the next page
}

// VersionList is a page of a function's versions, the latest first.
type VersionList struct {
	Versions []pack.Version `json:"versions"`
	Next     string         `json:"next,omitempty"` // what to say as after for the next page
}

// LatestVersions is how many versions a function has where not all are asked for.
const LatestVersions = 20

func functionPath(name string) string { return "/v1/functions/" + url.PathEscape(name) }

// Functions returns all functions, in order of their names.
func (c *Client) Functions(ctx context.Context) ([]Function, error) {
	of := func(page FunctionList) ([]Function, string) { return page.Functions, page.Next }
	return collect(ctx, c, "/v1/functions", of)
}

// Function returns all there is of a function.
func (c *Client) Function(ctx context.Context, name string) (f pack.Function, err error) {
	if err = c.ask(ctx, http.MethodGet, functionPath(name), nil, &f); err != nil || len(f.Versions) < LatestVersions {
		return f, err
	}
	of := func(page VersionList) ([]pack.Version, string) { return page.Versions, page.Next }
	f.Versions, err = collect(ctx, c, functionPath(name)+"/versions", of)
	return f, err
}

// PushFunction makes a package the next version of a function.
func (c *Client) PushFunction(ctx context.Context, name string, push FunctionPush) (done FunctionPushed, err error) {
	err = c.ask(ctx, http.MethodPost, functionPath(name)+"/versions", push, &done)
	return done, err
}

// SetAlias lets an alias of a function mean a version.
func (c *Client) SetAlias(ctx context.Context, name, alias string, n int) (v pack.Version, err error) {
	err = c.ask(ctx, http.MethodPut, functionPath(name)+"/aliases/"+url.PathEscape(alias), map[string]int{"version": n},
		&v)
	return v, err
}

// Rollback lets an alias, which means the version from, mean what it meant before.
func (c *Client) Rollback(ctx context.Context, name, alias string, from int) (v pack.Version, err error) {
	var body any = struct{}{}
	if from != 0 {
		body = map[string]int{"from": from}
	}
	err = c.ask(ctx, http.MethodPost, functionPath(name)+"/aliases/"+url.PathEscape(alias)+"/rollback", body, &v)
	return v, err
}

// Invocation returns an invocation by its id.
func (c *Client) Invocation(ctx context.Context, id invoke.ID) (inv Invocation, err error) {
	err = c.ask(ctx, http.MethodGet, "/v1/invocations/"+url.PathEscape(string(id)), nil, &inv)
	return inv, err
}

// RemoveFunction removes a function with all its versions.
func (c *Client) RemoveFunction(ctx context.Context, name string) error {
	return c.ask(ctx, http.MethodDelete, functionPath(name), nil, nil)
}

// DeadLetters returns the invocations of a function whose attempts all failed, the latest first.
func (c *Client) DeadLetters(ctx context.Context, name string) ([]Invocation, error) {
	of := func(page InvocationList) ([]Invocation, string) { return page.Invocations, page.Next }
	return collect(ctx, c, functionPath(name)+"/invocations?state=DEAD&limit=1000", of)
}

// BriefOf is a function in a list.
func BriefOf(f pack.Function, s invoke.Stats) Function {
	latest := f.Versions[0]
	return Function{
		Name: f.Name, Kind: latest.Manifest.Kind, Live: f.Aliases[pack.Live].Version, Latest: latest.N,
		Pushed: latest.Pushed,
		Stats: FunctionStats{
			Queued: s.Queued, Succeeded: s.Succeeded, Dead: s.Dead, Last: s.Last,
			P50: milliseconds(s.P50), P95: milliseconds(s.P95), P99: milliseconds(s.P99),
		},
	}
}

// InvocationOf is an invocation without its payloads.
func InvocationOf(inv invoke.Invocation) Invocation {
	return Invocation{
		ID: inv.ID, Function: inv.Function, Version: inv.Version, Key: inv.Key, State: inv.State, Attempts: inv.Attempts,
		Accepted: inv.Accepted, NotBefore: inv.NotBefore, Ended: inv.Ended, Took: milliseconds(inv.Took),
		Event: inv.Event.Size, Result: inv.Result.Size, Error: inv.Error, Kind: inv.Kind,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
