package fleet

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/scheduler"
)

// Node is what runs once on every machine, beside the containers and longer than they: it serves what finished attempts
// have left on the machine's disk, shows logs, removes what jobs have left that are over, and says how the machine is.
//
//	GET /v1/<job>/<attempt>        map output (package shuffle)
//	GET /logs/<job>/               the names and lengths of its logs on this machine, JSON
//	GET /logs/<job>/<file>?from=N  one of them, without the first N bytes
//	GET /health                    200, or 503 and what the machine is short of
//	GET /metrics                   for Prometheus
//
// Both of the first kind want "Authorization: Bearer SECRET", the job's.
type Node struct {
	member *Member
	dir    string // node/ scratch/ logs/ are in it
	log    *slog.Logger
	mu     struct {
		sync.Mutex
		grants map[scheduler.JobID]grant
	}
	swept    *prometheus.CounterVec
	short    func() string                     // what the machine is short of
	eligible func(context.Context, bool) error // tells Nomad whether the machine takes work
	out      bool                              // this node has taken the machine out of scheduling
	unsure   bool                              // one before it may have
}

// NewNode returns the node of a machine whose local disk's folder is dir.
func NewNode(m *Member, dir string, log *slog.Logger) *Node {
	n := &Node{member: m, dir: dir, log: log, short: func() string { return shortOf(dir) }, eligible: m.eligible}
	n.mu.grants = map[scheduler.JobID]grant{}
	n.unsure = exists(n.outMark())
	n.swept = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runner_node_swept_total", Help: "Folders of jobs that are over, removed.",
	}, []string{"kind"})
	return n
}

// Run serves until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	const op = "fleet.Node"
	listener, err := shuffle.Listen(ctx, net.JoinHostPort(n.member.Address, NodePort), true)
	if err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	server := &http.Server{Handler: n.handler(), ReadHeaderTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return n.follow(ctx) })
	all.Go(func() error { return n.sweepAlways(ctx) })
	all.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return errs.E(op, errs.Unavailable, listener.Addr(), err)
		}
		return nil
	})
	all.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return all.Wait()
}

func (n *Node) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(n.swept, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runner_node_disk_free_bytes", Help: "Free on the disk of map output and scratch.",
	}, func() float64 {
		free, _, _ := disk(n.dir) // 0 if nobody knows
		return float64(free)
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runner_node_jobs", Help: "Jobs that may fetch map output here.",
	}, func() float64 {
		n.mu.Lock()
		defer n.mu.Unlock()
		return float64(len(n.mu.grants))
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /v1/", shuffle.NewServer(filepath.Join(n.dir, "node"), n.secret))
	mux.HandleFunc("GET /logs/{job}/", n.listLogs)
	mux.HandleFunc("GET /logs/{job}/{file}", n.serveLog)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if short := n.short(); short != "" {
			http.Error(w, short, http.StatusServiceUnavailable)
		}
	})
	return mux
}

// secret is what a job's readers must know.
func (n *Node) secret(id scheduler.JobID) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, ok := n.mu.grants[id]
	return g.Secret, ok && g.Secret != ""
}

// follow learns which jobs there are, until ctx ends. While Consul can't be asked, what is known stays.
func (n *Node) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		for e, err := range n.member.Coord.Watch(ctx, grants) {
			if err != nil {
				n.log.Warn("looking for jobs", "error", err)
				break
			}
			g, err := parseGrant(e.Value.Data)
			if err != nil {
				n.log.Warn("a job's grant", "key", e.Key, "error", err)
				continue
			}
			id, err := scheduler.ParseJobID(strings.TrimPrefix(string(e.Key), grants))
			if err != nil {
				continue // not a job's
			}
			n.mu.Lock()
			if e.Value.Version == 0 {
				delete(n.mu.grants, id)
			} else {
				n.mu.grants[id] = g
			}
			n.mu.Unlock()
			if g.Over {
				n.removeJob(id)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return ctx.Err()
}

// authorized answers for a request whose caller does not know the job's secret.
func (n *Node) authorized(w http.ResponseWriter, r *http.Request) (id scheduler.JobID, ok bool) {
	id, err := scheduler.ParseJobID(r.PathValue("job"))
	secret, known := n.secret(id)
	given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if err != nil || !known || subtle.ConstantTimeCompare([]byte(given), []byte(secret)) != 1 {
		http.Error(w, "not with this secret", http.StatusForbidden)
		return id, false
	}
	return id, true
}

func (n *Node) logs(id scheduler.JobID) string { return filepath.Join(n.dir, "logs", string(id)) }

// logFile is one log on one machine.
type logFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

func (n *Node) listLogs(w http.ResponseWriter, r *http.Request) {
	id, ok := n.authorized(w, r)
	if !ok {
		return
	}
	files := []logFile{}
	entries, err := os.ReadDir(n.logs(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		http.Error(w, errs.Cause(err), http.StatusInternalServerError)
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() { // else it was removed just now
			files = append(files, logFile{Name: entry.Name(), Size: info.Size()})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(files) // the caller has gone
}

func (n *Node) serveLog(w http.ResponseWriter, r *http.Request) {
	id, ok := n.authorized(w, r)
	if !ok {
		return
	}
	root, err := os.OpenRoot(n.logs(id)) // so that no name leads out of it
	if err != nil {
		http.Error(w, "there is no log", http.StatusNotFound)
		return
	}
	defer root.Close() // only read
	f, err := root.Open(r.PathValue("file"))
	if err != nil {
		http.Error(w, "there is no log", http.StatusNotFound)
		return
	}
	defer f.Close() // only read
	from, err := strconv.ParseInt("0"+r.FormValue("from"), 10, 64)
	if err == nil {
		_, err = f.Seek(from, io.SeekStart)
	}
	if err != nil {
		http.Error(w, "from is not a number", http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(w, f) // the caller has gone
}
