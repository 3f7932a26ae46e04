package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// Cluster is how to reach a fleet. It is saved as <home>/clusters/<name>.json, for its owner alone, since there are
// secrets in it.
type Cluster struct {
	Name   string  `json:"name"`
	Store  string  `json:"store"` // URI of what outlives the fleet: jobs, ledgers, histories
	CA     string  `json:"ca"`    // who vouches for the servers, PEM
	Consul Service `json:"consul"`
	Nomad  Service `json:"nomad"`
	// Control has the token of the API alone; which machine serves it, Consul knows.
	Control Service           `json:"control"`
	Env     map[string]string `json:"env"` // what the tools of the store need: AWS_ENDPOINT_URL and so on
	// Outside are the addresses of machines for who is not in their network, by those that they have among each other.
	Outside map[string]string `json:"outside,omitempty"`
	// Driver is how containers are started; "": exec, which needs machines that offer nomad.Volumes.
	Driver nomad.Driver `json:"driver,omitempty"`
}

// Service is one kind of server.
type Service struct {
	Addresses []string `json:"addresses"` // host:port of each; the first that answers is used
	Token     string   `json:"token"`
}

var clusterName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

func clusterFile(home, name string) string { return filepath.Join(home, "clusters", name+".json") }

// Save writes the cluster below a home folder, in place of an earlier one of that name. Any number of processes may do so
// at once: whoever reads it finds one of theirs, whole.
func (c Cluster) Save(home string) error {
	const op = "fleet.Save"
	if !clusterName.MatchString(c.Name) {
		return errs.Errorf(op, errs.Invalid, c.Name, "not a name of a cluster")
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return errs.E(op, errs.Internal, c.Name, err)
	}
	file := clusterFile(home, c.Name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return errs.E(op, errs.Other, c.Name, err)
	}
	part, err := os.CreateTemp(filepath.Dir(file), "."+c.Name+"-*.part") // for its owner alone
	if err != nil {
		return errs.E(op, errs.Other, c.Name, err)
	}
	defer os.Remove(part.Name()) // if it has not got its name
	_, err = part.Write(data)
	if err = errors.Join(err, part.Sync(), part.Close()); err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return errs.E(op, errs.Other, c.Name, err)
	}
	return nil
}

// Load reads a cluster that was saved.
func Load(home, name string) (Cluster, error) {
	var c Cluster
	data, err := os.ReadFile(clusterFile(home, name))
	if errors.Is(err, fs.ErrNotExist) {
		return c, say.Errorf(errs.NotFound, "there is no cluster %q.%s", name, say.DidYouMean(name, Names(home)))
	}
	if err != nil {
		return c, errs.E("fleet.Load", errs.Other, name, err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, errs.E("fleet.Load", errs.Corrupt, clusterFile(home, name), err)
	}
	return c, nil
}

// Names lists the clusters that were saved.
func Names(home string) []string {
	files, _ := filepath.Glob(clusterFile(home, "*")) // the pattern is well formed, unless the home's name is odd
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	slices.Sort(names)
	return names
}

// Forget removes a cluster that was saved; that there is none is success.
func Forget(home, name string) error {
	if err := os.Remove(clusterFile(home, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E("fleet.Forget", errs.Other, name, err)
	}
	return nil
}

// ServerName is in the certificate of every agent, beside its address: who reaches one of several servers can't know
// which.
const ServerName = "runner.agent"

// Anywhere trusts the cluster's CA alone, and reaches the agents and controls of all its machines.
func (c Cluster) Anywhere() (*http.Transport, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(c.CA)) {
		return nil, errs.Errorf("fleet.Client", errs.Invalid, c.Name, "its CA is not a certificate")
	}
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, ServerName: ServerName, MinVersion: tls.VersionTLS12},
		DialContext:         c.dial,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second,
	}, nil
}

// answerTime is how long a control may take to begin its answer: longer than a kill, for which it waits.
const answerTime = 20 * time.Second

// Controls is Anywhere for the API of the controls: one that hangs is not waited for, since another one leads soon.
func (c Cluster) Controls() (*http.Transport, error) {
	t, err := c.Anywhere()
	if err == nil {
		t.ResponseHeaderTimeout = answerTime
	}
	return t, err
}

// dialer gives up soon, since there are others.
var dialer = net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}

// dial connects to a machine of the cluster by the address that it has for who is here.
func (c Cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && c.Outside[host] != "" {
		address = net.JoinHostPort(c.Outside[host], port)
	}
	return dialer.DialContext(ctx, network, address)
}

// Client returns an HTTP client for the servers of a service: it trusts the cluster's CA alone, and goes from one
// server to the next when one is not there.
func (c Cluster) Client(s Service) (*http.Client, error) {
	if len(s.Addresses) == 0 {
		return nil, errs.Errorf("fleet.Client", errs.Invalid, c.Name, "it has no servers")
	}
	t, err := c.Anywhere()
	if err != nil {
		return nil, err
	}
	t.DialContext = func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		for _, address := range s.Addresses {
			if conn, err = c.dial(ctx, network, address); err == nil || ctx.Err() != nil {
				return conn, err
			}
		}
		return nil, err
	}
	return &http.Client{Transport: t}, nil
}
