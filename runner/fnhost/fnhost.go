// Package fnhost is the host of functions on one machine: a small process for each home folder, which the first
// invocation starts and which ends when there is nothing to do.
//
//	runner invoke ──▶ <home>/functions/host.sock ──▶ runner fn serve ──▶ handlers
//	                  (HTTP: package api)             │ lease functions/host: there is one
//	                                                  ▼
//	                                       <home>/store/invocations/...     what survives it
//	                                       <home>/functions/packages/...    can be fetched again
//	                                       <home>/functions/logs/...
//
// The socket is in a folder for its owner alone: whoever reaches it may do everything.
package fnhost

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
)

// Dir is where the host of a home keeps its files.
func Dir(home *embedded.Home) string { return filepath.Join(home.Dir, "functions") }

// socket is where the host listens.
func socket(home *embedded.Home) string { return filepath.Join(Dir(home), "host.sock") }

// checkSocket fails if the kernel will not have the socket.
func checkSocket(home *embedded.Home) error {
	if path := socket(home); len(path) > maxSocket {
		return say.Errorf(errs.Invalid, "the path %s is too long for a socket; set %s to a shorter folder", path,
			embedded.HomeEnv)
	}
	return nil
}

// maxSocket is how long the kernel allows the path of a socket to be, in bytes.
const maxSocket = 103

const (
	leaseKey = coord.Key("functions/host")
	leaseTTL = 10 * time.Second
	patience = 10 * time.Second // for a host that ends
	look     = 100 * time.Millisecond
)

// Options say how a host works.
type Options struct {
	Idle   time.Duration // without work after which it ends; 0: never
	Submit func(ctx context.Context, v pack.Version, folder string, event []byte) (job string, err error)
	Ready  func() // is called when it answers; nil ignores
	Log    *slog.Logger
}

// Site is where a host works: a home folder, or a machine of a fleet.
type Site struct {
	Store  store.Store
	Dir    string   // on the local disk
	Env    []string // that handlers find, beside what is theirs
	Writer string   // for people who look into the journal

	// AliasFor is how long the host believes what an alias meant.
	AliasFor time.Duration
	// Hold returns the lease that makes this process the host. If there is one already, it fails with errs.Exist.
	Hold func(ctx context.Context) (coord.Lease, error)
	// Listen makes the listener, and Announce, which may be nil, tells others where it is.
	Listen   func() (net.Listener, error)
	Announce func(ctx context.Context, at net.Addr) error
	// workers take the events; nil: children of the host do.
	workers *workers
	// Who knows callers; nil: whoever reaches the listener may do everything.
	Who func(ctx context.Context, text string) (access.Token, error)
}

// AtHome is the site of a home folder.
func AtHome(home *embedded.Home) Site {
	return Site{
		Store: home.Store, Dir: Dir(home), Env: []string{embedded.HomeEnv + "=" + home.Dir}, Writer: "embedded",
		Hold:   func(ctx context.Context) (coord.Lease, error) { return hold(ctx, home) },
		Listen: func() (net.Listener, error) { return listen(home) },
	}
}

// Serve is the host until ctx ends, somebody stops it, or it has been idle for too long.
func Serve(ctx context.Context, site Site, o Options) error {
	lease, err := site.Hold(ctx)
	if err != nil {
		return err
	}
	defer release(lease, o.Log)
	listener, err := site.Listen()
	if err != nil {
		return err
	}
	defer listener.Close() // also removes a socket
	warn := func(err error) { o.Log.Warn("functions", "error", err) }
	options := invoke.Options{
		Dir: site.Dir, Writer: site.Writer, Env: site.Env, Submit: o.Submit, AliasFor: site.AliasFor, OnError: warn,
		KeepLogs: site.workers != nil,
	}
	if site.workers != nil {
		site.workers.url = site.workers.urlOf(listener.Addr())
		options.Crew = site.workers.set
		if err := site.workers.member.ForgetWorkers(ctx); err != nil {
			warn(err) // they end by themselves
		}
	}
	host, err := invoke.Open(ctx, site.Store, options)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-lease.Done(): // it may be another's now; the journal knows for sure
			stop()
		case <-ctx.Done():
		}
	}()
	handler, err := site.handler(host, stop)
	if err == nil && site.Announce != nil {
		err = site.Announce(ctx, listener.Addr())
	}
	if err != nil {
		return errors.Join(err, host.Close())
	}
	return o.serve(ctx, host, listener, handler)
}

// handler answers what the API has of functions. Whoever needs no token may stop the host.
func (s Site) handler(host *invoke.Host, stop func()) (http.Handler, error) {
	v1, err := api.New(api.Options{Who: s.Who}, api.FunctionsPart(api.Functions{
		Store: s.Store, Host: host, Dir: s.Dir,
		Ledger: func(context.Context) (*invoke.Ledger, error) { return host.Ledger(), nil },
	}))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", v1)
	if s.workers != nil {
		mux.HandleFunc("GET /handlers/{package}", s.workers.attach(host))
	}
	if s.Who == nil {
		mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { stop() })
	}
	return mux, nil
}

// serve answers until ctx ends, or the host has been idle for too long.
func (o Options) serve(ctx context.Context, host *invoke.Host, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10}
	if o.Ready != nil {
		o.Ready()
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return errs.E("fnhost.Serve", errs.Unavailable, listener.Addr(), err)
		}
		return nil
	})
	all.Go(func() error {
		if idle(ctx, host, o.Idle) { // what comes at the last moment is answered, too
			err := server.Shutdown(ctx)
			for err == nil && !quiet(host, 0) && pause(ctx) {
			}
			return errors.Join(err, host.Close())
		}
		return errors.Join(host.Close(), server.Shutdown(context.WithoutCancel(ctx))) // those who wait are told first
	})
	return all.Wait()
}

// idle waits, and returns true when the host has had nothing to do for that long; false if it has ended, or ctx has.
func idle(ctx context.Context, host *invoke.Host, most time.Duration) bool {
	for {
		select {
		case <-host.Done():
			return false
		default:
		}
		if most > 0 && quiet(host, most) {
			return true
		}
		if !pause(ctx) {
			return false
		}
	}
}

// quiet reports whether the host has had nothing to do for a while.
func quiet(host *invoke.Host, while time.Duration) bool {
	since, ok := host.Idle()
	return ok && time.Since(since) >= while
}

// pause waits until it is worth another look; false if ctx has ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(look)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hold takes the lease that makes this process the host. One that is about to end is waited for; one that answers
// stays.
func hold(ctx context.Context, home *embedded.Home) (coord.Lease, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		try, end := context.WithTimeout(limited, look)
		lease, err := home.Coord.Acquire(try, leaseKey, leaseTTL)
		end()
		if err == nil || try.Err() == nil || ctx.Err() != nil {
			return lease, err
		}
		conn, err := new(net.Dialer).DialContext(limited, "unix", socket(home))
		if err == nil {
			_ = conn.Close() // nothing was said
		}
		if err == nil || limited.Err() != nil {
			return nil, say.Errorf(errs.Exist, "there is a host of functions already; `runner fn stop` ends it")
		}
	}
}

// release gives the lease back to the next host.
func release(lease coord.Lease, log *slog.Logger) {
	if err := lease.Release(context.Background()); err != nil {
		log.Warn("the lease of the host", "error", err) // the kernel gives it back at the end of the process
	}
}

// listen makes the socket.
func listen(home *embedded.Home) (net.Listener, error) {
	const op = "fnhost.Serve"
	path := socket(home)
	if err := checkSocket(home); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, errs.E(op, errs.Other, path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // of a host that was killed
		return nil, errs.E(op, errs.Other, path, err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, errs.E(op, errs.Other, path, err)
	}
	return listener, nil
}
