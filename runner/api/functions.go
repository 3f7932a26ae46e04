package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/say"
)

// Functions is what the API tells about functions.
type Functions struct {
	Store store.Store
	// Ledger returns what is known of invocations.
	Ledger func(ctx context.Context) (*invoke.Ledger, error)
	// Host answers events, if this process is the host of functions, or is nil: then Forward answers what only the host
	// can by asking it.
	Host    *invoke.Host
	Forward Answer
	Dir     string // where the host's logs are; "": on its machine alone
}

// InvocationHeader says which invocation an answer is of.
const InvocationHeader = "Runner-Invocation"

// KeyHeader is where callers say their idempotency key.
const KeyHeader = "Idempotency-Key"

const (
	invocationsPage = 50
	maxInvocations  = 1000
	maxWait         = 300 // seconds that a request waits for the end of an invocation
)

//go:embed functions.json
var functionsDoc []byte

// FunctionsPart answers everything about functions, and hands events to them.
func FunctionsPart(f Functions) Part {
	log := f.log
	if f.Dir == "" {
		log = f.byHost(log)
	}
	return Part{Doc: functionsDoc, Routes: []Route{
		{"GET /v1/functions", access.Read, f.list},
		{"GET /v1/functions/{name}", access.Read, f.show},
		{"GET /v1/functions/{name}/invocations", access.Read, f.invocations},
		{"POST /v1/functions/{name}/invocations", access.Submit, f.byHost(f.invoke)},
		{"POST /v1/functions/{name}/redrive", access.Submit, f.byHost(f.redrive)},
		{"GET /v1/invocations/{id}", access.Read, f.invocation},
		{"GET /v1/invocations/{id}/result", access.Read, f.byHost(f.result)},
		{"GET /v1/invocations/{id}/log", access.Read, log},
	}}
}

// byHost is for what only the host can answer.
func (f Functions) byHost(answer Answer) Answer {
	if f.Host != nil {
		return answer
	}
	return f.Forward
}

func (f Functions) registry() pack.Registry { return pack.Registry{Store: f.Store} }

// functionBrief is a function in a list.
type functionBrief struct {
	Name     string    `json:"name"`
	Kind     pack.Kind `json:"kind"`
	Live     int       `json:"live,omitempty"` // the version that is meant when nobody says one
	Latest   int       `json:"latest"`
	Pushed   time.Time `json:"pushed"`
	Handlers int       `json:"handlers"` // that run, if this process knows
	Stats    stats     `json:"stats"`
}

// stats are invoke.Stats in milliseconds.
type stats struct {
	Queued    int       `json:"queued"`
	Succeeded int       `json:"succeeded"`
	Dead      int       `json:"dead"`
	P50       float64   `json:"p50_ms"`
	P95       float64   `json:"p95_ms"`
	P99       float64   `json:"p99_ms"`
	Last      time.Time `json:"last,omitzero"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (f Functions) brief(ctx context.Context, one pack.Function) (functionBrief, error) {
	ledger, err := f.Ledger(ctx)
	if err != nil {
		return functionBrief{}, err
	}
	s := ledger.Stats(one.Name)
	latest := one.Versions[0]
	b := functionBrief{
		Name: one.Name, Kind: latest.Manifest.Kind, Live: one.Aliases[pack.Live].Version, Latest: latest.N,
		Pushed: latest.Pushed,
		Stats: stats{
			Queued: s.Queued, Succeeded: s.Succeeded, Dead: s.Dead, Last: s.Last,
			P50: milliseconds(s.P50), P95: milliseconds(s.P95), P99: milliseconds(s.P99),
		},
	}
	if f.Host != nil {
		b.Handlers = f.Host.Handlers()[one.Name]
	}
	return b, nil
}

// functionList is a page of functions, in order of their names.
type functionList struct {
	Functions []functionBrief `json:"functions"`
	Next      string          `json:"next,omitempty"`
}

func (f Functions) list(w http.ResponseWriter, r *http.Request) error {
	names, err := f.registry().Names(r.Context())
	if err != nil {
		return err
	}
	all := functionList{Functions: []functionBrief{}}
	if names, all.Next, err = page(r, names, func(name string) string { return name }); err != nil {
		return err
	}
	for _, name := range names {
		one, err := f.registry().Get(r.Context(), name)
		if errs.KindOf(err) == errs.NotFound {
			continue // it was removed just now
		}
		if err != nil {
			return err
		}
		b, err := f.brief(r.Context(), one)
		if err != nil {
			return err
		}
		all.Functions = append(all.Functions, b)
	}
	return writeJSON(w, all)
}

// functionView is all there is to know of a function.
type functionView struct {
	functionBrief
	Versions []pack.Version        `json:"versions"` // the latest first
	Aliases  map[string]pack.Alias `json:"aliases"`
}

func (f Functions) show(w http.ResponseWriter, r *http.Request) error {
	one, err := f.registry().Get(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	b, err := f.brief(r.Context(), one)
	if err != nil {
		return err
	}
	return writeJSON(w, functionView{b, one.Versions, one.Aliases})
}

// invocationView is an invocation without its payloads.
type invocationView struct {
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

func viewOf(inv invoke.Invocation) invocationView {
	return invocationView{
		ID: inv.ID, Function: inv.Function, Version: inv.Version, Key: inv.Key, State: inv.State, Attempts: inv.Attempts,
		Accepted: inv.Accepted, NotBefore: inv.NotBefore, Ended: inv.Ended, Took: milliseconds(inv.Took),
		Event: inv.Event.Size, Result: inv.Result.Size, Error: inv.Error, Kind: inv.Kind,
	}
}

// invocationList is a page of invocations, the latest first.
type invocationList struct {
	Invocations []invocationView `json:"invocations"`
	Total       int              `json:"total"`
}

func (f Functions) invocations(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", invocationsPage, maxInvocations)
	if err != nil {
		return err
	}
	after, err := number(r, "after", 0, 1<<31)
	if err != nil {
		return err
	}
	state := invoke.State(r.URL.Query().Get("state"))
	if state != "" && state != invoke.Queued && !state.Final() {
		return say.Errorf(errs.Invalid, "state=%q is not QUEUED, SUCCEEDED or DEAD", state)
	}
	if _, err := f.registry().Get(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	ledger, err := f.Ledger(r.Context())
	if err != nil {
		return err
	}
	all := ledger.List(r.PathValue("name"), state)
	page := invocationList{Invocations: []invocationView{}, Total: len(all)}
	from := min(int(after), len(all))
	for _, inv := range all[from:min(from+int(limit), len(all))] {
		page.Invocations = append(page.Invocations, viewOf(inv))
	}
	return writeJSON(w, page)
}

func (f Functions) invoke(w http.ResponseWriter, r *http.Request) error {
	event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, invoke.MaxPayload))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return say.Errorf(errs.Invalid, "the event has more than %d MiB; hand over where it is instead",
			invoke.MaxPayload>>20)
	}
	if err != nil {
		return say.Errorf(errs.Invalid, "the event cannot be read: %s", errs.Cause(err))
	}
	async, err := number(r, "async", 0, 1)
	if err != nil {
		return err
	}
	inv, err := f.Host.Invoke(r.Context(), invoke.Request{
		Function: r.PathValue("name"), Key: r.Header.Get(KeyHeader), Event: event, Async: async == 1,
	})
	if err != nil {
		return err
	}
	if async == 0 {
		return f.writeResult(w, r, inv)
	}
	w.Header().Set(InvocationHeader, string(inv.ID))
	text, err := json.Marshal(viewOf(inv))
	if err != nil {
		return errs.E("api.Invoke", errs.Internal, inv.ID, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, err = w.Write(append(text, '\n'))
	return gone(err)
}

// writeResult answers with the result of an invocation that is over, as it is.
func (f Functions) writeResult(w http.ResponseWriter, r *http.Request, inv invoke.Invocation) error {
	w.Header().Set(InvocationHeader, string(inv.ID))
	switch inv.State {
	case invoke.Queued:
		return say.Errorf(errs.Unavailable, "invocation %s of %s is not over yet; ask again", inv.ID, inv.Function)
	case invoke.Dead:
		return DeadLetter(inv)
	}
	result, err := invoke.Load(r.Context(), f.Store, inv.Result)
	if err != nil {
		return err
	}
	kind := "application/octet-stream"
	if json.Valid(result) {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(result)))
	_, err = w.Write(result)
	return gone(err)
}

// DeadLetter says why a dead letter has no result.
func DeadLetter(inv invoke.Invocation) error {
	kind := errs.Failed
	if inv.Kind == errs.Invalid.String() {
		kind = errs.Invalid
	}
	if inv.Attempts == 1 {
		return say.Errorf(kind, "%s failed: %s", inv.Function, inv.Error)
	}
	return say.Errorf(kind, "%s failed %d times, the last one: %s", inv.Function, inv.Attempts, inv.Error)
}

func (f Functions) redrive(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Invocations []invoke.ID `json:"invocations"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	n, err := f.Host.Redrive(r.Context(), r.PathValue("name"), ask.Invocations...)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]int{"redriven": n})
}

// of returns the invocation that a request is about.
func (f Functions) of(r *http.Request) (invoke.Invocation, error) {
	ledger, err := f.Ledger(r.Context())
	if err != nil {
		return invoke.Invocation{}, err
	}
	inv, ok := ledger.Get(invoke.ID(r.PathValue("id")))
	if !ok {
		return inv, say.Errorf(errs.NotFound, "there is no invocation %q; what is over is kept for a day", r.PathValue("id"))
	}
	return inv, nil
}

func (f Functions) invocation(w http.ResponseWriter, r *http.Request) error {
	inv, err := f.of(r)
	if err != nil {
		return err
	}
	return writeJSON(w, viewOf(inv))
}

// result waits for the end of an invocation, if it is told how long.
func (f Functions) result(w http.ResponseWriter, r *http.Request) error {
	wait, err := number(r, "wait", 0, maxWait)
	if err != nil {
		return err
	}
	inv, err := f.of(r)
	if err != nil {
		return err
	}
	if !inv.State.Final() && wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(wait)*time.Second)
		defer cancel()
		if inv, err = f.Host.Wait(ctx, inv.ID); err != nil {
			return err
		}
	}
	return f.writeResult(w, r, inv)
}

func (f Functions) log(w http.ResponseWriter, r *http.Request) error {
	offset, err := number(r, "offset", 0, 1<<40)
	if err != nil {
		return err
	}
	inv, err := f.of(r)
	if err != nil {
		return err
	}
	file, err := os.Open(invoke.LogFile(f.Dir, inv))
	if errors.Is(err, fs.ErrNotExist) {
		return writePiece(w, nil, offset) // it has said nothing
	}
	if err != nil {
		return errs.E("api.Log", errs.Other, inv.ID, err)
	}
	defer file.Close() // only read
	text := make([]byte, maxPiece)
	n, err := file.ReadAt(text, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return errs.E("api.Log", errs.Other, inv.ID, err)
	}
	return writePiece(w, text[:n], offset)
}
