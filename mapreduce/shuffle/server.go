// Package shuffle moves map output from the disk it lies on to the reducers that need it.
//
// A Server serves the attempts' directories of a node; a Client fetches a run of partitions of one attempt. It is plain
// HTTP/1.1, since Go's HTTP/2 is slower for bulk, and the kernel copies the file to the socket (sendfile).
//
//	GET /v1/<job>/<attempt>?lo=<partition>&hi=<partition>          ▶ index of partitions lo to hi-1, then their bytes
//	GET /v1/<job>/<attempt>?lo=<partition>&hi=<partition>&from=<n> ▶ their bytes alone, without the first n
//	GET /v1/<job>/<stage>/merged?of=<task>.<n>,<task>.<n>,...&lo=...&hi=...    ▶ the same of several attempts
//	Authorization: Bearer <secret of the job>
//
//	200  Runner-Index: <length of the index>   Content-Length: <of both>
//	4xx  Runner-Kind: <errs.Kind>              one line of text; 503 of a job that the server does not know, or not yet
//
// Where the partitions of attempts are small, requests and the opening of files are most of the work. So the server
// merges what several attempts left (segment.Merge) when that is first asked for, and keeps it beside them; a reducer
// gets all of it with one request. What the attempts left stays: if there is anything wrong with what was merged, each
// is fetched alone.
//
// A read that breaks goes on where it broke. The index says the checksum of each partition, and the client compares it;
// what cannot be had, or is not what was written, is a scheduler.InputLost, so that the map runs again.
package shuffle

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

const (
	indexHeader = "Runner-Index"
	kindHeader  = "Runner-Kind"
	pathPrefix  = "/v1/"

	maxTransfers = 64                // at a time; more wait, since a disk does not get faster by being asked more at once
	slowest      = 256 << 10         // bytes a second below which a transfer is cut off
	patience     = 30 * time.Second  // for a request's header, and beside the time that slowest allows
	idle         = 120 * time.Second // how long a connection without requests is kept
	maxHeader    = 16 << 10          // bytes of a request's header
)

// Server serves the segments below a node's directory. It is an http.Handler.
type Server struct {
	dir       string
	secret    func(scheduler.JobID) (string, bool)
	transfers chan struct{}
	mux       *http.ServeMux
}

// NewServer serves DIR/<job>/<attempt>/. Secret returns the secret of a job; without one nobody gets anything of it,
// and is told to ask again. It must not block, and is called by many goroutines at once.
func NewServer(dir string, secret func(scheduler.JobID) (string, bool)) *Server {
	s := &Server{dir: dir, secret: secret, transfers: make(chan struct{}, maxTransfers), mux: http.NewServeMux()}
	s.mux.HandleFunc("GET "+pathPrefix+"{job}/{attempt}", s.serve)
	s.mux.HandleFunc("GET "+pathPrefix+"{job}/{stage}/"+mergedName, s.serve)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Listen listens on addr (host:port, port 0 for any). Unless public is true, addr must be of this machine alone.
func Listen(ctx context.Context, addr string, public bool) (net.Listener, error) {
	const op = "shuffle.Listen"
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, errs.E(op, errs.Invalid, addr, err)
	}
	if ip := net.ParseIP(host); !public && (ip == nil || !ip.IsLoopback()) {
		return nil, errs.Errorf(op, errs.Invalid, addr, "not an address of the loopback interface")
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, addr, err)
	}
	return l, nil
}

// Serve serves l until ctx ends, and then returns nil. Transfers under way are cut off: readers go on elsewhere or
// later.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: patience, IdleTimeout: idle, MaxHeaderBytes: maxHeader,
		Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	stop := context.AfterFunc(ctx, func() { srv.Close() }) // its error is about connections that end in any case
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return errs.E("shuffle.Serve", errs.Unavailable, l.Addr(), err)
	}
	return nil
}

// request is what is asked for.
type request struct {
	dir      string                // of the job
	attempts []scheduler.AttemptID // several: merged
	lo, hi   int
	from     int64 // -1: with the index
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	req, err := s.parse(r)
	if err == nil {
		select {
		case s.transfers <- struct{}{}:
			defer func() { <-s.transfers }()
			err = req.send(w)
		case <-r.Context().Done():
			return
		}
	}
	if err != nil {
		refuse(w, err)
	}
}

// parse checks everything about a request. What it returns was made from ids, not from a path.
func (s *Server) parse(r *http.Request) (request, error) {
	const op = "shuffle.Serve"
	job, err := scheduler.ParseJobID(r.PathValue("job"))
	if err != nil {
		return request{}, errs.E(op, errs.Permission, nil, err)
	}
	secret, known := s.secret(job)
	if !known {
		return request{}, errs.Errorf(op, errs.Unavailable, nil, "a server that was started again learns of jobs by and by")
	}
	if !authorised(r, secret) {
		return request{}, errs.Errorf(op, errs.Permission, nil, "wrong secret")
	}
	req := request{dir: filepath.Join(s.dir, string(job)), from: -1}
	q := r.URL.Query()
	if stage := r.PathValue("stage"); stage != "" {
		req.attempts, err = parseMerged(stage, q.Get("of"))
	} else {
		req.attempts = make([]scheduler.AttemptID, 1)
		req.attempts[0], err = parseAttempt(r.PathValue("attempt"))
	}
	if err != nil {
		return request{}, err
	}
	lo, err1 := strconv.ParseUint(q.Get("lo"), 10, 31)
	hi, err2 := strconv.ParseUint(q.Get("hi"), 10, 31)
	if q.Has("from") {
		req.from, err = strconv.ParseInt(q.Get("from"), 10, 64)
	}
	if err := errors.Join(err, err1, err2); err != nil || lo > hi || req.from < -1 {
		return request{}, errs.Errorf(op, errs.Invalid, nil, "want lo, hi and perhaps from")
	}
	req.lo, req.hi = int(lo), int(hi)
	return req, nil
}

// parseAttempt parses the id of an attempt that can be the name of a directory.
func parseAttempt(text string) (scheduler.AttemptID, error) {
	id, err := scheduler.ParseAttemptID(text)
	if err == nil && (!filepath.IsLocal(id.String()) || strings.ContainsAny(id.String(), `/\`)) {
		err = errs.Errorf("shuffle.Serve", errs.Invalid, nil, "not an attempt")
	}
	return id, err
}

// find returns where the partitions are that are wanted. Those of several attempts lie together in their merged
// segment.
func (req request) find() (dir string, lo, hi int, err error) {
	n := len(req.attempts)
	if n == 1 {
		return filepath.Join(req.dir, req.attempts[0].String()), req.lo, req.hi, nil
	}
	dir, err = merge(req.dir, req.attempts)
	return dir, req.lo * n, req.hi * n, err
}

// authorised compares digests, whose comparison takes the same time whatever they are and however long the secrets.
func authorised(r *http.Request, want string) bool {
	got, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(got))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && bearer && want != ""
}

// send writes the answer. An error means that nothing was written yet; when the writing itself fails the connection is
// broken, and the other side knows.
func (req request) send(w http.ResponseWriter) error {
	const op = "shuffle.Serve"
	dir, lo, hi, err := req.find()
	if err != nil {
		return err
	}
	index, err := segment.ReadIndex(dir)
	if err != nil {
		return err
	}
	if hi > len(index.Parts) {
		return errs.Errorf(op, errs.Invalid, nil, "there are %d partitions", len(index.Parts))
	}
	index = index.Cut(lo, hi)
	offset, length := index.Span()
	var head []byte
	if req.from < 0 {
		head = index.Append(nil)
	} else if req.from > length {
		return errs.Errorf(op, errs.Invalid, nil, "there are %d bytes", length)
	} else {
		offset, length = offset+req.from, length-req.from
	}
	file, err := os.Open(filepath.Join(dir, segment.DataName))
	if err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	defer file.Close()
	end, err := file.Seek(0, io.SeekEnd)
	if err == nil && end < offset+length {
		return errs.Errorf(op, errs.Corrupt, nil, "%d bytes of data, %d in the index", end, offset+length)
	}
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(int64(len(head))+length, 10))
	h.Set(indexHeader, strconv.Itoa(len(head)))
	deadline := time.Now().Add(patience + time.Duration(length/slowest)*time.Second)
	if err := http.NewResponseController(w).SetWriteDeadline(deadline); err != nil {
		return errs.E(op, errs.Internal, nil, err)
	}
	if _, err := w.Write(head); err == nil {
		// An error, of the disk or of the network, breaks the connection before Content-Length bytes were sent.
		_, _ = io.CopyN(w, file, length)
	}
	return nil
}

// refuse answers with an error. Paths of this machine stay here.
func refuse(w http.ResponseWriter, err error) {
	kind := errs.KindOf(err)
	status := map[errs.Kind]int{
		errs.Invalid: http.StatusBadRequest, errs.Permission: http.StatusUnauthorized, errs.NotFound: http.StatusNotFound,
		errs.Unavailable: http.StatusServiceUnavailable,
	}[kind]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	w.Header().Set(kindHeader, kind.String())
	text := kind.String()
	if kind == errs.Invalid {
		text = errs.Cause(err)
	}
	http.Error(w, text, status)
}
