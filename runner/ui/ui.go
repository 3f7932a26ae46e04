// Package ui is the web page: what the verbs tell, drawn. It is a handful of files in the program, without a build step
// and without anything from other places; all that it shows it asks the API for, as any other program would.
//
//	/             the jobs           assets/jobs.js
//	/jobs/{id}    one job            assets/job.js, logs.js, timeline.js, training.js
//	/schedules    what runs when     assets/schedules.js
//	/queues       a fleet's queues   assets/fleet.js, and /nodes its machines
//	/fleet        its time and cost  assets/lifetime.js
//	/files        files              assets/files.js
//	/functions    functions          assets/functions.js, and /functions/{name} one of them
//	/assets/...   the page's files   app.js (which page), dom.js (text becomes elements, never markup), format.js
//	/v1/...       package api
//
// It is for the people of one machine: whoever can open its port may see the jobs and kill them. So it refuses to be
// reached by another name than this machine's (a page elsewhere could otherwise have its own name lead here), and takes
// no request that changes something from other pages.
package ui

import (
	"bytes"
	"embed"
	"io/fs"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

// policy lets the page load its own files and nothing else. Scripts and styles inside the markup are refused.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Options say whom the page is for.
type Options struct {
	// Everywhere serves the page to other machines, too: the API below it asks for tokens.
	Everywhere bool
	// Fleet shows queues and machines.
	Fleet bool
}

// New returns the handler of the page and of the API below it.
func New(api http.Handler, o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/", api)
	mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, r.PathValue("name"))
	})
	for _, page := range []string{
		"GET /{$}", "GET /jobs/{id}", "GET /schedules", "GET /functions", "GET /functions/{name}", "GET /queues",
		"GET /nodes", "GET /fleet", "GET /files",
	} {
		mux.HandleFunc(page, func(w http.ResponseWriter, r *http.Request) { serveIndex(w, r, o) })
	}
	return guard(http.NewCrossOriginProtection().Handler(mux), o)
}

// fleetLinks are the ways to a fleet's pages, for those who have one.
const fleetLinks = `<a href="/queues">Queues</a><a href="/nodes">Machines</a><a href="/fleet">Fleet</a>`

func serveIndex(w http.ResponseWriter, r *http.Request, o Options) {
	links := ""
	if o.Fleet {
		links = fleetLinks
	}
	data, err := fs.ReadFile(assets, "assets/index.html")
	if err != nil {
		http.NotFound(w, r)
		return
	}
	send(w, r, "index.html", bytes.Replace(data, []byte("<!--fleet-->"), []byte(links), 1))
}

func serve(w http.ResponseWriter, r *http.Request, name string) {
	data, err := fs.ReadFile(assets, path.Join("assets", name))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	send(w, r, name, data)
}

func send(w http.ResponseWriter, r *http.Request, name string, data []byte) {
	w.Header().Set("Cache-Control", "no-cache") // another version of the program may serve the next request
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}

// guard lets in who asks for this machine by one of its own names, and tells browsers what a page may do.
func guard(next http.Handler, o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !o.Everywhere && !Loopback(r.Host) {
			http.Error(w, "This page is for this machine alone: open it as http://127.0.0.1", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// Loopback reports whether host, with or without a port, can only be this machine.
func Loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return slices.Contains([]string{"localhost", "localhost."}, strings.ToLower(host))
}
