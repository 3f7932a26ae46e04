package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
)

// Part is a piece of the API.
type Part struct {
	Routes []Route
	// Doc describes the routes: a JSON document with "paths" and "components": {"schemas"} as OpenAPI has them. Types of
	// other parts may be referred to; Problem is everybody's.
	Doc []byte
}

// Route is one thing that can be asked.
type Route struct {
	Pattern string // as http.ServeMux has it, with a method: "GET /v1/jobs/{id}"
	Role    access.Role
	Answer  Answer
}

// Answer answers a request. The error that it returns, before it has written anything, is told as a problem.
type Answer func(w http.ResponseWriter, r *http.Request) error

// Options say whom the API answers.
type Options struct {
	// Who returns the token of a text, and fails with errs.Permission if there is none. nil: whoever reaches the API may
	// do everything, so it must be served to this machine alone.
	Who func(ctx context.Context, text string) (access.Token, error)
	// Rate is how many requests a second a token has; so many times Burst may come at once. 0: any number.
	Rate  float64
	Burst int
	Now   func() time.Time // nil: time.Now
}

// document is as much of an OpenAPI document as has to be put together.
type document struct {
	OpenAPI    string                                `json:"openapi"`
	Info       json.RawMessage                       `json:"info"`
	Paths      map[string]map[string]json.RawMessage `json:"paths"` // by path and method
	Components struct {
		Schemas  map[string]json.RawMessage `json:"schemas"`
		Security json.RawMessage            `json:"securitySchemes"`
	} `json:"components"`
	Security json.RawMessage `json:"security"`
}

//go:embed openapi.json
var baseDoc []byte

// New returns the handler of everything under /v1/. It fails with errs.Internal if a part's routes are not those that
// it describes, or two parts have the same one.
func New(o Options, parts ...Part) (http.Handler, error) {
	self := "GET /v1/openapi.json"
	var text []byte
	tell := func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, err := w.Write(text)
		return gone(err)
	}
	parts = append([]Part{{Doc: baseDoc, Routes: []Route{{self, access.Read, tell}}}}, parts...)
	doc, err := describe(parts)
	if err != nil {
		return nil, err
	}
	if text, err = json.Marshal(doc); err != nil {
		return nil, errs.E("api.New", errs.Internal, nil, err)
	}
	door := newDoor(o)
	mux := http.NewServeMux()
	for _, p := range parts {
		for _, route := range p.Routes {
			mux.HandleFunc(route.Pattern, door.open(route))
		}
	}
	mux.HandleFunc(elsewhere, func(w http.ResponseWriter, r *http.Request) { refuse(w, r, mux) })
	return mux, nil
}

// elsewhere is the pattern of all that is no route.
const elsewhere = "/v1/"

// refuse answers what is no route: the method may be wrong, or the path.
func refuse(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != elsewhere {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		WriteProblem(w, say.Errorf(errs.NotFound, "there is no %s %s; /v1/openapi.json lists what there is", r.Method,
			r.URL.Path))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	WriteProblem(w, refusal{say.Errorf(errs.Unsupported, "%s takes %s, not %s", r.URL.Path,
		strings.Join(allowed, " and "), r.Method), http.StatusMethodNotAllowed})
}

// describe puts the descriptions of all parts together.
func describe(parts []Part) (document, error) {
	const op = "api.New"
	var whole document
	for _, p := range parts {
		var doc document
		if err := json.Unmarshal(p.Doc, &doc); err != nil {
			return whole, errs.E(op, errs.Internal, "description", err)
		}
		served := map[string]bool{}
		for _, route := range p.Routes {
			served[strings.ReplaceAll(route.Pattern, "...}", "}")] = true
		}
		for path, methods := range doc.Paths {
			for method := range methods {
				route := strings.ToUpper(method) + " " + path
				if !served[route] || whole.Paths[path][method] != nil {
					return whole, errs.Errorf(op, errs.Internal, route, "described, but not served, or twice")
				}
				delete(served, route)
			}
		}
		for route := range served {
			return whole, errs.Errorf(op, errs.Internal, route, "not described")
		}
		whole.add(doc)
	}
	return whole, nil
}

// add adds what another document has. The first one says what it is all about.
func (d *document) add(o document) {
	if d.Paths == nil {
		*d = o
		return
	}
	for path, methods := range o.Paths {
		if d.Paths[path] == nil {
			d.Paths[path] = map[string]json.RawMessage{}
		}
		maps.Copy(d.Paths[path], methods)
	}
	maps.Copy(d.Components.Schemas, o.Components.Schemas)
}

// maxBody bounds what most requests may carry, in bytes.
const maxBody = 64 << 10

// readBody reads what a request carries, if that is not too much.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return nil, refusal{say.Errorf(errs.Invalid, "the request has more than %s", format.Bytes(most)),
			http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return nil, say.Errorf(errs.Invalid, "the request cannot be read: %s", errs.Cause(err))
	}
	return body, nil
}

// readJSON reads what a request carries; nothing leaves into as it is.
func readJSON(w http.ResponseWriter, r *http.Request, into any, most int64) error {
	body, err := readBody(w, r, most)
	if err != nil || len(body) == 0 {
		return err
	}
	// Who says nothing means JSON, since there is nothing else.
	if said := r.Header.Get("Content-Type"); said != "" {
		if kind, _, err := mime.ParseMediaType(said); err != nil || kind != "application/json" {
			return refusal{say.Errorf(errs.Unsupported, "the request is %s; say it in JSON, as application/json", said),
				http.StatusUnsupportedMediaType}
		}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return say.Errorf(errs.Invalid, "the request is not JSON, or not as /v1/openapi.json has it: %s", errs.Cause(err))
	}
	return nil
}
