package api

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// reader reads openapi.json as other people's programs do, and holds requests and answers against it.
type reader struct {
	t      *testing.T
	router routers.Router
}

// newReader fails the test unless a document is a valid one of OpenAPI.
func newReader(t *testing.T, text []byte) *reader {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, router}
}

// rest reports whether a path ends with a name that may have slashes, which OpenAPI has no word for.
func rest(path string) bool {
	return strings.Contains(path, "/output/") || strings.HasPrefix(path, "/debug/")
}

// check fails the test if the document says otherwise: of a request that was taken, and of its answer.
func (d *reader) check(req *http.Request, body string, resp *http.Response, text []byte) {
	d.t.Helper()
	if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
		d.t.Errorf("%s %s: %d is told as %s", req.Method, req.URL, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	route, params, err := d.router.FindRoute(req)
	if err != nil {
		if resp.StatusCode < 400 && !rest(req.URL.Path) {
			d.t.Errorf("%s %s, which is %d, is not described: %v", req.Method, req.URL, resp.StatusCode, err)
		}
		return
	}
	asked := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	req.Body = io.NopCloser(strings.NewReader(body))
	if resp.StatusCode < 400 {
		if err := openapi3filter.ValidateRequest(d.t.Context(), asked); err != nil {
			d.t.Errorf("%s %s was taken: %v", req.Method, req.URL, err)
		}
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: resp.StatusCode, Header: resp.Header,
		Body: io.NopCloser(bytes.NewReader(text)), Options: asked.Options,
	}
	if err := openapi3filter.ValidateResponse(d.t.Context(), answer); err != nil {
		d.t.Errorf("%s %s, answered with %d: %v", req.Method, req.URL, resp.StatusCode, err)
	}
}
