// Package fleet_test holds what must be true of jobs on real Nomad and Consul, whichever process or machine is lost.
package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/launchtest"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// site is the cluster that the tests share, and how the program finds it.
var site struct {
	cluster *cluster.Cluster
	bin     string // the program
	home    string
	skip    string // why there is no cluster
}

// clients is how many machines run containers.
const clients = 3

// behaveArg makes this test binary a container of the launchers' suite.
const behaveArg = "-behave"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == behaveArg {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		os.Exit(launchtest.ExitCode(launchtest.Behave(ctx, os.Args[2], os.Getenv)))
	}
	os.Exit(withCluster(m))
}

func withCluster(m *testing.M) int {
	dir, err := os.MkdirTemp("", "runner-fleet-")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	if err := setUp(dir); err != nil {
		return failed(err)
	}
	if site.cluster == nil || os.Getenv(upEnv) != "" {
		return m.Run() // without a cluster every test says why it is skipped
	}
	code := m.Run()
	if err := site.cluster.Down(); err != nil {
		return failed(err)
	}
	return code
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// upEnv names the folder of a cluster that is up and stays so, for trying things out.
const upEnv = "RUNNER_TEST_CLUSTER"

// setUp builds the program and starts a cluster of three servers and three clients below dir.
func setUp(dir string) error {
	engines, err := engines()
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("RUNNER_REQUIRE_ENGINES") == "1" {
			return err
		}
		site.skip = err.Error()
		return nil
	}
	site.bin, site.home = filepath.Join(dir, "bin"), filepath.Join(dir, "home")
	if err := embeddedtest.Build(site.bin, map[string]string{
		"runner": "../../runner", "paced": "../testdata/paced",
	}); err != nil {
		return err
	}
	if up := os.Getenv(upEnv); up != "" {
		site.cluster, err = cluster.Open(up)
	} else {
		site.cluster, err = start(dir, engines)
	}
	if err != nil {
		return err
	}
	return site.cluster.State.Fleet.Save(site.home)
}

func start(dir string, engines map[string]string) (*cluster.Cluster, error) {
	return cluster.Up(context.Background(), cluster.Options{
		Name: "local", Dir: filepath.Join(dir, "cluster"), Servers: 3, Clients: clients, Engines: engines,
		Runner: filepath.Join(site.bin, "runner"), IP: engines[wires],
	})
}

// wires is the engine that gives each machine a network of its own.
const wires = "iproute2"

// engines builds the servers' binaries, or finds that they are there.
func engines() (map[string]string, error) {
	_, here, _, _ := runtime.Caller(0)
	names := []string{"consul", "nomad", "versitygw", wires}
	out, err := exec.Command(filepath.Join(filepath.Dir(here), "../../scripts/engines"), names...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("no cluster to test against: scripts/engines: %w", err)
	}
	binaries := map[string]string{}
	for i, path := range strings.Fields(string(out)) {
		binaries[names[i]] = path
	}
	return binaries, nil
}

// needCluster skips a test where there is no cluster.
func needCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	if site.cluster == nil {
		t.Skip(site.skip)
	}
	return site.cluster
}

// launcher opens a launcher whose groups are its own.
func launcher(t *testing.T, prefix string) *nomad.Launcher {
	t.Helper()
	f := needCluster(t).State.Fleet
	client, err := f.Client(f.Nomad)
	if err != nil {
		t.Fatal(err)
	}
	l, err := nomad.Open(nomad.Options{
		Address: "https://" + f.Nomad.Addresses[0], Token: f.Nomad.Token, Prefix: prefix, CPU: 50, Client: client,
		Driver: nomad.RawExec, // the suite's containers are this test's own program
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// TestLauncher runs the suite of all launchers on the cluster.
func TestLauncher(t *testing.T) {
	needCluster(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var made atomic.Int32
	launchtest.Run(t, launchtest.Driver{
		New: func(t *testing.T) launch.Launcher {
			l := launcher(t, fmt.Sprintf("suite%d-%d-", os.Getpid(), made.Add(1)))
			t.Cleanup(func() {
				roles := []string{"worker", "worker0", "worker1", "worker2", "worker3"}
				if err := l.Forget(context.Background(), "abcd-suite", roles...); err != nil {
					t.Error(err)
				}
			})
			return l
		},
		Command: func(how string) []string { return []string{self, behaveArg, how} },
	})
}
