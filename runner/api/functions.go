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
	"github.com/seed3322913c/runner/runner/client"
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
	// Keep keeps what secrets of a function mean, until Forget; nil: handlers find them where they run.
	Keep   func(ctx context.Context, function string, vars map[string]string) error
	Forget func(ctx context.Context, function string) error
	Dir    string // where the host's logs are; "": on its machine, until they are in the store
}

// InvocationHeader says which invocation an answer is of.
const InvocationHeader = "Runner-Invocation"

// KeyHeader is where callers say their idempotency key.
const KeyHeader = "Idempotency-Key"

// invocationsPage is short by default: who asks for no limit looks at the latest.
var invocationsPage = pageSize{50, 1000}

// maxWait is how long a request waits for the end of an invocation, in seconds.
const maxWait = 300

//go:embed functions.json
var functionsDoc []byte

// FunctionsPart answers everything about functions, and hands events to them.
func FunctionsPart(f Functions) Part {
	return Part{Doc: functionsDoc, Routes: []Route{
		{"GET /v1/functions", access.Read, f.list},
		{"GET /v1/functions/{name}", access.Read, f.show},
		{"DELETE /v1/functions/{name}", access.Submit, f.remove},
		{"GET /v1/functions/{name}/versions", access.Read, f.versions},
		{"POST /v1/functions/{name}/versions", access.Submit, f.push},
		{"PUT /v1/functions/{name}/aliases/{alias}", access.Submit, f.setAlias},
		{"POST /v1/functions/{name}/aliases/{alias}/rollback", access.Submit, f.rollback},
		{"GET /v1/functions/{name}/invocations", access.Read, f.invocations},
		{"POST /v1/functions/{name}/invocations", access.Submit, f.byHost(f.invoke)},
		{"POST /v1/functions/{name}/redrive", access.Submit, f.byHost(f.redrive)},
		{"GET /v1/invocations/{id}", access.Read, f.invocation},
		{"GET /v1/invocations/{id}/result", access.Read, f.result},
		{"GET /v1/invocations/{id}/log", access.Read, f.log},
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

func (f Functions) brief(ctx context.Context, one pack.Function) (client.Function, error) {
	ledger, err := f.Ledger(ctx)
	if err != nil {
		return client.Function{}, err
	}
	b := client.BriefOf(one, ledger.Stats(one.Name))
	if f.Host != nil {
		b.Handlers = f.Host.Handlers()[one.Name]
	}
	return b, nil
}

func (f Functions) list(w http.ResponseWriter, r *http.Request) error {
	names, err := f.registry().Names(r.Context())
	if err != nil {
		return err
	}
	all := client.FunctionList{Functions: []client.Function{}}
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

// functionView is a function with its latest versions.
type functionView struct {
	client.Function
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
	latest := one.Versions[:min(client.LatestVersions, len(one.Versions))]
	return writeJSON(w, functionView{b, latest, one.Aliases})
}

func (f Functions) versions(w http.ResponseWriter, r *http.Request) error {
	one, err := f.registry().Get(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	var list client.VersionList
	list.Versions, list.Next, err = pageInOrder(r, named, one.Versions, func(v pack.Version) string {
		return strconv.Itoa(v.N)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

func (f Functions) invocations(w http.ResponseWriter, r *http.Request) error {
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
	list := client.InvocationList{Invocations: []client.Invocation{}, Total: len(all)}
	all, list.Next, err = pageInOrder(r, invocationsPage, all, func(i invoke.Invocation) string { return string(i.ID) })
	if err != nil {
		return err
	}
	for _, inv := range all {
		list.Invocations = append(list.Invocations, client.InvocationOf(inv))
	}
	return writeJSON(w, list)
}

func (f Functions) invoke(w http.ResponseWriter, r *http.Request) error {
	event, err := readBody(w, r, invoke.MaxPayload)
	if err != nil {
		return err
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
	text, err := json.Marshal(client.InvocationOf(inv))
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
	return writeJSON(w, client.InvocationOf(inv))
}

// result waits for the end of an invocation, if it is told how long. What is over needs no host.
func (f Functions) result(w http.ResponseWriter, r *http.Request) error {
	wait, err := number(r, "wait", 0, maxWait)
	if err != nil {
		return err
	}
	inv, err := f.of(r)
	if err != nil {
		return err
	}
	if !inv.State.Final() && f.Host == nil {
		return f.Forward(w, r)
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
	if f.Dir != "" {
		text, err := pieceOf(invoke.LogFile(f.Dir, inv.Function, inv.ID), offset)
		if !errors.Is(err, fs.ErrNotExist) {
			return answerPiece(w, text, offset, err)
		}
	}
	text, err := f.keptLog(r.Context(), inv, offset)
	switch {
	case errs.KindOf(err) != errs.NotFound:
		return answerPiece(w, text, offset, err)
	case f.Dir == "" && f.Host == nil:
		return f.Forward(w, r)
	}
	return writePiece(w, nil, offset) // it has said nothing
}

func answerPiece(w http.ResponseWriter, text []byte, offset int64, err error) error {
	if err != nil {
		return errs.E("api.Log", errs.Other, nil, err)
	}
	return writePiece(w, text, offset)
}

// pieceOf returns a piece of a file.
func pieceOf(path string, offset int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read
	return io.ReadAll(io.NewSectionReader(file, offset, maxPiece))
}

// keptLog returns a piece of a log that outlives its host; errs.NotFound if there is none.
func (f Functions) keptLog(ctx context.Context, inv invoke.Invocation, offset int64) ([]byte, error) {
	body, err := f.Store.Open(ctx, invoke.LogObject(inv.ID), store.Range{Offset: offset, Length: maxPiece})
	if errs.KindOf(err) == errs.NotFound && len(inv.Log) > 0 {
		return inv.Log[min(offset, int64(len(inv.Log))):], nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close() // only read
	return io.ReadAll(body)
}
