package fnhost

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// What a worker finds in its environment.
const (
	hostEnv    = "RUNNER_FUNCTIONS_HOST"    // URL
	packageEnv = "RUNNER_FUNCTIONS_PACKAGE" // whose events it takes
	secretEnv  = "RUNNER_FUNCTIONS_SECRET"  // that lets it do so
	indexEnv   = "NOMAD_ALLOC_INDEX"
)

// workers are the groups of processes that take events, one for each package that has some.
type workers struct {
	member *fleet.Member
	urlOf  func(at net.Addr) string
	url    string // of the host, when it listens
	mu     struct {
		sync.Mutex
		groups map[string]crew // by the sum of the package
	}
}

// crew is a group of workers.
type crew struct {
	group  launch.GroupID
	secret string
}

func newWorkers(m *fleet.Member, urlOf func(at net.Addr) string) *workers {
	w := &workers{member: m, urlOf: urlOf}
	w.mu.groups = map[string]crew{}
	return w
}

// set is an invoke.Crew.
func (w *workers) set(ctx context.Context, v pack.Version, n int) error {
	w.mu.Lock()
	known, ok := w.mu.groups[v.Package]
	w.mu.Unlock()
	if ok && n > 0 {
		alive, err := w.member.Launcher.Alive(ctx, known.group)
		if err != nil {
			return err
		}
		if alive {
			return w.member.Launcher.Scale(ctx, known.group, n)
		}
	}
	if ok {
		if err := w.member.Launcher.Forget(ctx, known.group.Job, known.group.Role); err != nil {
			return err
		}
		w.mu.Lock()
		delete(w.mu.groups, v.Package)
		w.mu.Unlock()
	}
	if n == 0 {
		return nil
	}
	return w.start(ctx, v, n)
}

// start starts a group.
func (w *workers) start(ctx context.Context, v pack.Version, n int) error {
	g, err := w.member.Workers(ctx, v.Name, v.Manifest.CPU, v.Manifest.Memory)
	if err != nil {
		return err
	}
	secret := rand.Text()
	g.Count, g.Env[hostEnv], g.Env[packageEnv], g.Secrets[secretEnv] = n, w.url, v.Package, secret
	w.mu.Lock()
	w.mu.groups[v.Package] = crew{g.ID, secret}
	w.mu.Unlock()
	return w.member.Launcher.Start(ctx, g)
}

// knows reports whether a secret is that of the workers of a package.
func (w *workers) knows(sum, secret string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.mu.groups[sum]
	return ok && subtle.ConstantTimeCompare([]byte(secret), []byte(known.secret)) == 1
}

// protocol is what a worker asks a host to speak from then on: see package invoke.
const protocol = "runner-events/1"

// attach makes the connection of a worker one that events are handed to.
func (w *workers) attach(host *invoke.Host) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		sum := r.PathValue("package")
		secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		index, err := strconv.Atoi(r.FormValue("index"))
		switch {
		case !w.knows(sum, secret):
			http.Error(rw, "not with this secret", http.StatusForbidden)
			return
		case err != nil || r.Header.Get("Upgrade") != protocol:
			http.Error(rw, "want an index and to speak "+protocol, http.StatusBadRequest)
			return
		}
		conn, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			http.Error(rw, errs.Cause(err), http.StatusInternalServerError)
			return
		}
		_, err = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol +
			"\r\n\r\n")
		if err = errors.Join(err, buffered.Flush()); err == nil {
			err = host.Attach(sum, index, conn)
		}
		if err != nil {
			_ = conn.Close() // the worker tries again
		}
	}
}

// patienceForHost is how long a worker tries to come back to its host.
const patienceForHost = 30 * time.Second

// Work takes the events of one package from the host of functions that has started this process, until ctx ends. dir is
// a folder on the local disk, env is what handlers find beside what is theirs.
func Work(ctx context.Context, around fleet.Surroundings, st store.Store, dir string, env []string) error {
	by, err := around.Cluster.Anywhere()
	if err != nil {
		return err
	}
	secret, sum := os.Getenv(secretEnv), os.Getenv(packageEnv)
	if err := os.Unsetenv(secretEnv); err != nil {
		return errs.E("fnhost.Work", errs.Internal, secretEnv, err)
	}
	w, err := invoke.NewWorker(ctx, st, sum, dir, env)
	if err != nil {
		return err
	}
	defer w.Close()
	at := os.Getenv(hostEnv) + "/handlers/" + url.PathEscape(sum) + "?index=" + url.QueryEscape(os.Getenv(indexEnv))
	tries := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(patienceForHost))
	return backoff.Retry(func() error {
		conn, err := enlist(ctx, by, at, secret)
		if err == nil {
			tries.Reset()
			err = w.Work(ctx, conn)
		}
		if ctx.Err() != nil {
			return nil // it was told to end
		}
		return err
	}, backoff.WithContext(tries, ctx))
}

// enlist asks the host for a connection on which it hands over events.
func enlist(ctx context.Context, by *http.Transport, at, secret string) (net.Conn, error) {
	const op = "fnhost.Work"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, errs.E(op, errs.Internal, at, err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", protocol)
	conn, err := by.DialContext(ctx, "tcp", r.URL.Host)
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, at, err)
	}
	if r.URL.Scheme == "https" {
		conn = tls.Client(conn, by.TLSClientConfig)
	}
	if err := conn.SetDeadline(time.Now().Add(enlistTime)); err != nil {
		return nil, errors.Join(errs.E(op, errs.Unavailable, at, err), conn.Close())
	}
	in := bufio.NewReader(conn)
	err = r.Write(conn)
	if err == nil {
		var answer *http.Response
		if answer, err = http.ReadResponse(in, r); err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
			err = errors.New("the host of functions answers " + answer.Status)
		}
	}
	if err != nil {
		return nil, errors.Join(errs.E(op, errs.Unavailable, at, err), conn.Close())
	}
	return heard{conn, in}, nil
}

// enlistTime is how long a host may take to answer a worker.
const enlistTime = 10 * time.Second

// heard is a connection of which something may have been read already.
type heard struct {
	net.Conn
	in *bufio.Reader
}

// Read reads what was read before, and then the rest.
func (h heard) Read(b []byte) (int, error) { return h.in.Read(b) }
