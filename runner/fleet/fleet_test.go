package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

func TestClusterFile(t *testing.T) {
	home := t.TempDir()
	want := Cluster{
		Name: "local", Store: "s3://jobs", CA: "PEM", Consul: Service{[]string{"a:1", "b:1"}, "t1"},
		Nomad: Service{[]string{"a:2"}, "t2"}, Env: map[string]string{"AWS_REGION": "x"},
	}
	if err := want.Save(home); err != nil {
		t.Fatal(err)
	}
	got, err := Load(home, "local")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(filepath.Join(home, "clusters/local.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	if _, err := Load(home, "locale"); !errors.Is(err, errs.NotFound) || !strings.Contains(err.Error(), "local") {
		t.Errorf("a name that is nearly right: %v", err)
	}
	if err := (Cluster{Name: "../up"}).Save(home); !errors.Is(err, errs.Invalid) {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
	for range 2 {
		if err := Forget(home, "local"); err != nil {
			t.Error(err)
		}
	}
	if names := Names(home); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

func TestPackages(t *testing.T) {
	st, home, dir := mem.New(), t.TempDir(), t.TempDir()
	f, m := &Fleet{store: st}, &Member{Store: st}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("tools/count", "#!/bin/sh", 0o755)
	write("tools/data/words", "a b", 0o644)
	for path, want := range map[string]string{"tools/count": "", "tools": "count"} {
		job, err := f.Ship(t.Context(), scheduler.Job{Package: filepath.Join(dir, path)})
		if err != nil {
			t.Fatal(err)
		}
		again, err := f.Ship(t.Context(), scheduler.Job{Package: "file://" + filepath.Join(dir, path)})
		if err != nil || again.Package != job.Package {
			t.Errorf("the same content is %s, then %s, %v", job.Package, again.Package, err)
		}
		for range 2 { // the second finds it there
			got, err := m.Fetch(t.Context(), job.Package, home)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(got, want))
			if err != nil || info.Mode().Perm()&0o100 == 0 {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
	}
	write("tally", "#!/bin/sh", 0o755) // the same bytes under another name
	job, err := f.Ship(t.Context(), scheduler.Job{Package: filepath.Join(dir, "tally")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Fetch(t.Context(), job.Package, home); err != nil || filepath.Base(got) != "tally" || !exists(got) {
		t.Errorf("under another name: %s, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "packages/.part-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if job, err := f.Ship(t.Context(), scheduler.Job{}); err != nil || job.Package != "" {
		t.Errorf("no package: %q, %v", job.Package, err)
	}
}

// TestBadPackages are refused whole, and leave nothing.
func TestBadPackages(t *testing.T) {
	st, home := mem.New(), t.TempDir()
	m := &Member{Store: st}
	sum := strings.Repeat("a", 64)
	if err := store.Put(t.Context(), st, packages.Join(sum), []byte("something else")); err != nil {
		t.Fatal(err)
	}
	for uri, kind := range map[string]errs.Kind{
		packageScheme + sum + "/tool":                     errs.Corrupt,
		packageScheme + strings.Repeat("b", 64) + "/tool": errs.NotFound,
		packageScheme + sum + "/../tool":                  errs.Invalid,
		packageScheme + "../tool":                         errs.Invalid,
	} {
		if got, err := m.Fetch(t.Context(), uri, home); !errors.Is(err, kind) {
			t.Errorf("%s: %q, %v", uri, got, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(home, "packages/*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestMachineOutOfScheduling tells Nomad once when the machine is short of something, again if Nomad was not there, and
// once when it is well, also if the node that took it out has ended meanwhile.
func TestMachineOutOfScheduling(t *testing.T) {
	var told []bool
	short, refuse, dir := "", false, t.TempDir()
	begin := func() *Node {
		n := NewNode(&Member{}, dir, slog.New(slog.DiscardHandler))
		n.short = func() string { return short }
		n.eligible = func(_ context.Context, yes bool) error {
			if refuse {
				return errs.E("test", errs.Unavailable, nil, nil)
			}
			told = append(told, yes)
			return nil
		}
		return n
	}
	n := begin()
	for _, now := range []struct {
		short         string
		refuse, again bool
	}{
		{}, {"disk", true, false}, {"disk", false, false}, {"disk", false, false}, {}, {}, {again: true},
		{short: "memory"}, {"memory", false, true}, {short: "memory"}, {"", true, true}, {}, {}, {again: true},
	} {
		if now.again {
			n = begin()
		}
		short, refuse = now.short, now.refuse
		n.declare(t.Context())
	}
	if diff := cmp.Diff([]bool{false, true, false, false, true}, told); diff != "" {
		t.Error(diff)
	}
	if text := shortOf(filepath.Join(dir, "gone")); text == "" {
		t.Error("a disk that cannot be looked at is well")
	}
}

// TestOutside reaches a machine by the address that it has for who is not in its network.
func TestOutside(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := Cluster{Outside: map[string]string{"192.0.2.1": "127.0.0.1"}} // an address that nobody has
	conn, err := c.dial(t.Context(), "tcp", net.JoinHostPort("192.0.2.1", port))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestOwnCores looks at machines on loopback addresses, which share a host.
func TestOwnCores(t *testing.T) {
	for _, c := range []struct {
		driver  nomad.Driver
		address string
		want    bool
	}{
		{nomad.Exec, "10.0.0.7", true}, {"", "10.0.0.7", true}, {nomad.Exec, "127.0.0.1", false},
		{nomad.RawExec, "10.0.0.7", false},
	} {
		if got := ownCores(c.driver, c.address); got != c.want {
			t.Errorf("%s on %s: %v", c.driver, c.address, got)
		}
	}
}

// TestClusterFileIsWhole: who reads a cluster while others save it, as two commands do that begin together, finds what
// one of them has written.
func TestClusterFileIsWhole(t *testing.T) {
	home := t.TempDir()
	var all errgroup.Group
	for i := range 8 {
		all.Go(func() error {
			c := Cluster{Name: "local", Store: fmt.Sprintf("s3://jobs-%d", i), CA: strings.Repeat("PEM", 1000*(i+1))}
			for range 20 {
				if err := c.Save(home); err != nil {
					return err
				}
				if got, err := Load(home, "local"); err != nil || !strings.HasSuffix(got.CA, "PEM") {
					return fmt.Errorf("it has %d bytes of CA, %w", len(got.CA), err)
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Join(home, "clusters"))
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
