package fleet

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// ControlPort is where `runner control` listens on a machine.
const ControlPort = "7338"

// controls is how many controls a fleet has: one leads, and two may be lost.
const controls = 3

// controlGroup is the group of the fleet's controls.
var controlGroup = launch.GroupID{Job: "fleet-system", Role: "control"}

// nameEnv is the name of the cluster, for controls.
const nameEnv = "RUNNER_CLUSTER_NAME"

// installControl starts the fleet's controls. They make tokens for jobs, so they have those that may do everything.
func (f *Fleet) installControl(ctx context.Context) error {
	g := launch.Group{
		ID: controlGroup, Command: []string{program, "control"}, Env: environment(f.cluster.Store), LogDir: dir,
		Secrets:   map[string]string{consulToken: f.cluster.Consul.Token, nomadToken: f.cluster.Nomad.Token},
		Resources: scheduler.Resources{Memory: 512 << 20}, Restart: launch.Restart{Delay: 500 * time.Millisecond},
	}
	g.Env[nameEnv], g.Env[driverEnv] = f.cluster.Name, string(f.cluster.Driver)
	for k, v := range f.cluster.Env {
		g.Secrets[k] = v
	}
	return f.launcher.Serve(ctx, g, controls)
}

// What a machine tells a control that it starts itself, beside ControlEnv.
const (
	PoolEnv  = "RUNNER_POOL"  // how the number of workers is changed
	DepotEnv = "RUNNER_DEPOT" // URI of where it is written how many there may be
)

// ControlEnv is what FromEnv reads, for a control that a machine starts itself: the cluster by way of the agents at the
// machine's address. ca is the file of who vouches for them.
func (c Cluster) ControlEnv(machine, ca string) []string {
	all := []string{
		nameEnv + "=" + c.Name, driverEnv + "=" + string(c.Driver), storeEnv + "=" + c.Store, addressEnv + "=" + machine,
		consulToken + "=" + c.Consul.Token, nomadToken + "=" + c.Nomad.Token, "CONSUL_CACERT=" + ca,
		"CONSUL_HTTP_ADDR=https://" + c.Consul.Addresses[0], "NOMAD_ADDR=https://" + c.Nomad.Addresses[0],
	}
	for name, value := range c.Env {
		all = append(all, name+"="+value)
	}
	return all
}

// Surroundings are what a control finds on its machine.
type Surroundings struct {
	Cluster Cluster // by way of the machine's own agents
	Listen  string  // HOST:PORT
	// cert and key are the machine's own certificate, files beside that of who vouches for it; "" if it has none.
	cert, key string
}

// URL is how others reach the control.
func (s Surroundings) URL() string {
	if s.cert == "" {
		return "http://" + s.Listen
	}
	return "https://" + s.Listen
}

// Open listens, with TLS if the machine has a certificate.
func (s Surroundings) Open() (net.Listener, error) {
	const op = "fleet.Listen"
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, s.Listen, err)
	}
	if s.cert == "" {
		return listener, nil
	}
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, errors.Join(errs.E(op, errs.Invalid, s.cert, err), listener.Close())
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}), nil
}

// FromEnv reads what the fleet has handed over to a control.
func FromEnv() (Surroundings, error) {
	const op = "fleet.FromEnv"
	s := Surroundings{Listen: net.JoinHostPort(os.Getenv(addressEnv), ControlPort)}
	caPath := os.Getenv("CONSUL_CACERT")
	ca, err := os.ReadFile(caPath)
	if err != nil {
		return s, errs.E(op, errs.Other, caPath, err)
	}
	s.Cluster = Cluster{
		Name: cmp.Or(os.Getenv(nameEnv), "fleet"), Store: os.Getenv(storeEnv), CA: string(ca),
		Consul: Service{Token: os.Getenv(consulToken)}, Nomad: Service{Token: os.Getenv(nomadToken)},
		Driver: nomad.Driver(os.Getenv(driverEnv)), Env: map[string]string{},
	}
	for name, to := range map[string]*Service{"CONSUL_HTTP_ADDR": &s.Cluster.Consul, "NOMAD_ADDR": &s.Cluster.Nomad} {
		u, err := url.Parse(os.Getenv(name))
		if err != nil {
			return s, errs.E(op, errs.Invalid, name, err)
		}
		to.Addresses = []string{u.Host}
	}
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			s.Cluster.Env[name] = value
		}
	}
	folder := filepath.Dir(caPath)
	if cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"); exists(cert) && exists(key) {
		s.cert, s.key = cert, key
	}
	for _, name := range []string{consulToken, nomadToken} {
		if err := os.Unsetenv(name); err != nil {
			return s, errs.E(op, errs.Internal, name, err)
		}
	}
	return s, nil
}
