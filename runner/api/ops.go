package api

import (
	_ "embed"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed3322913c/runner/runner/access"
)

//go:embed ops.json
var opsDoc []byte

// SessionPart lets a browser keep its token where no script can read it.
func SessionPart() Part {
	return Part{Doc: sessionDoc, Routes: []Route{
		{"POST /v1/session", access.Read, func(w http.ResponseWriter, r *http.Request) error {
			text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			http.SetCookie(w, &http.Cookie{
				Name: Cookie, Value: text, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
			})
			w.WriteHeader(http.StatusNoContent)
			return nil
		}},
		{"DELETE /v1/session", access.Nobody, func(w http.ResponseWriter, _ *http.Request) error {
			http.SetCookie(w, &http.Cookie{Name: Cookie, Path: "/", MaxAge: -1, HttpOnly: true})
			w.WriteHeader(http.StatusNoContent)
			return nil
		}},
	}}
}

//go:embed session.json
var sessionDoc []byte

// OpsPart lets administrators look into the process that answers, whether it leads or not: what it counts, and its
// profiles as Go's tools read them.
func OpsPart(counted prometheus.Gatherer) Part {
	metrics := promhttp.HandlerFor(counted, promhttp.HandlerOpts{})
	plain := func(h http.HandlerFunc) Answer {
		return func(w http.ResponseWriter, r *http.Request) error {
			h(w, r)
			return nil
		}
	}
	return Part{Doc: opsDoc, Routes: []Route{
		{"GET /metrics", access.Read, plain(metrics.ServeHTTP)},
		{"GET /debug/pprof/{name...}", access.Admin, plain(pprof.Index)},
		{"GET /debug/pprof/profile", access.Admin, plain(pprof.Profile)},
		{"GET /debug/pprof/trace", access.Admin, plain(pprof.Trace)},
		{"GET /debug/pprof/cmdline", access.Admin, plain(pprof.Cmdline)},
		{"GET /debug/pprof/symbol", access.Admin, plain(pprof.Symbol)},
	}}
}
