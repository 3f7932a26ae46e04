package nodeinit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/fleet"
)

func worker(t *testing.T) Machine {
	dir := t.TempDir()
	return Machine{
		Cluster: "demo", Name: "worker-1", Role: Worker, Address: "127.0.0.11", Servers: []string{"127.0.0.1"}, Expect: 1,
		Dir: filepath.Join(dir, "worker-1"), Bin: filepath.Join(dir, "bin"),
	}
}

func TestMachineCheck(t *testing.T) {
	if err := worker(t).Check(); err != nil {
		t.Error(err)
	}
	for what, spoil := range map[string]func(*Machine){
		"no name": func(m *Machine) { m.Name = "" }, "a strange role": func(m *Machine) { m.Role = "king" },
		"no address": func(m *Machine) { m.Address = "localhost" }, "nobody to join": func(m *Machine) { m.Servers = nil },
		"a relative folder": func(m *Machine) { m.Dir = "worker-1" },
	} {
		m := worker(t)
		spoil(&m)
		if errs.KindOf(m.Check()) != errs.Invalid {
			t.Errorf("%s is taken", what)
		}
	}
	if _, err := ParseMachine([]byte("{")); errs.KindOf(err) != errs.Invalid {
		t.Errorf("half a description: %v", err)
	}
}

// TestSecretsFor looks whether each role learns what it may, and no more.
func TestSecretsFor(t *testing.T) {
	secrets, err := NewSecrets()
	if err != nil {
		t.Fatal(err)
	}
	for role, wanted := range map[Role][]string{
		Server: {"node/agent", "node/ca", "node/gossip", "server/cert", "server/gateway", "server/key", "server/s3",
			"server/token"},
		Worker: {"node/agent", "node/ca", "node/cert", "node/gossip", "node/key"},
		Store:  {"server/s3"},
	} {
		var asked []string
		_, err := SecretsFor(t.Context(), role, func(_ context.Context, name string) (string, error) {
			asked = append(asked, name)
			return secrets[name], nil
		})
		if slices.Sort(asked); err != nil || !slices.Equal(asked, wanted) {
			t.Errorf("a %s asks for %v (%v), want %v", role, asked, err, wanted)
		}
	}
}

// TestCertificates looks whether a worker can pass for a server.
func TestCertificates(t *testing.T) {
	secrets, err := NewSecrets()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(secrets[SecretCA]))
	for role, folder := range certificates {
		pair, err := tls.X509KeyPair([]byte(secrets[folder+"cert"]), []byte(secrets[folder+"key"]))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{
			fleet.ServerName: true, "server.runner.consul": role == Server, "server.global.nomad": role == Server,
		} {
			_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
			if (err == nil) != want {
				t.Errorf("a %s as %s: %v", role, name, err)
			}
		}
	}
}

// TestConfigure looks whether what a worker is told by its files has the token that may do everything.
func TestConfigure(t *testing.T) {
	m := worker(t)
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.Configure(Secrets{Token: "all-powerful", Agent: "weak"}, Agents{Leave: true}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		text, err := os.ReadFile(m.File(f.Name()))
		if err != nil || strings.Contains(string(text), "all-powerful") {
			t.Errorf("%s has the servers' token (%v)", f.Name(), err)
		}
		if info, err := f.Info(); err != nil || (info.Mode().Perm() == 0o600) == (f.Name() == caFile) {
			t.Errorf("%s can be read by others, or must be and cannot (%v)", f.Name(), err)
		}
	}
}

func TestFetch(t *testing.T) {
	d := Depot{Store: mem.New(), Base: "demo"}
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	sum, err := d.Add(t.Context(), "consul", source)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.Add(t.Context(), "consul", source); err != nil || again != sum {
		t.Errorf("adding it again: %s, %v", again, err)
	}
	to := filepath.Join(dir, "consul")
	if err := d.fetch(t.Context(), "consul", sum, to); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("what was fetched can't be run: %v", err)
	}
	if err := d.fetch(t.Context(), "nomad", sum, filepath.Join(dir, "nomad")); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a program that is not there: %v", err)
	}
	// Somebody has put something else in its place.
	if err := store.Put(t.Context(), d.Store, d.Base.Join(programName("consul", sum)), []byte("evil")); err != nil {
		t.Fatal(err)
	}
	if err := d.fetch(t.Context(), "consul", sum, filepath.Join(dir, "other")); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("another program was taken: %v", err)
	}
}

// TestBootFails lets a machine boot whose program is not in the depot: people must be able to read why.
func TestBootFails(t *testing.T) {
	m := worker(t)
	m.Binaries = map[string]string{"consul": "0123"}
	st := mem.New()
	err := Run(t.Context(), described{m}, Options{
		Log:     slog.New(slog.DiscardHandler),
		Resolve: func(context.Context, string) (store.Store, store.Name, error) { return st, "", nil },
	})
	if err == nil {
		t.Fatal("it booted without its programs")
	}
	for r, err := range (Depot{Store: st}).Reports(t.Context()) {
		if err != nil || r.Machine != m.Name || r.State != Broken || !strings.Contains(r.Message, "consul") {
			t.Errorf("it reports %+v (%v)", r, err)
		}
		return
	}
	t.Error("it reports nothing")
}

// described is a Source that knows the machine alone.
type described struct{ machine Machine }

func (d described) Machine(context.Context) (Machine, error)              { return d.machine, nil }
func (d described) Secret(_ context.Context, name string) (string, error) { return name, nil }

// TestChild lets a program die again and again, and one that does not want to end.
func TestChild(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c := &child{name: "sick", args: []string{"/bin/sh", "-c", "echo ill; exit 3"}, log: log}
	stop := start(c)
	look := time.NewTicker(10 * time.Millisecond) // its end is the kernel's to tell
	defer look.Stop()
	for c.trouble() == nil {
		<-look.C
	}
	stop()
	if text := tail(log); !strings.HasPrefix(text, "ill\nill\nill\n") {
		t.Errorf("it was not started again: %q", text)
	}
	if err := c.trouble(); !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("its trouble is %v", err)
	}
}

// TestDeadline moves a deadline while somebody waits for it.
func TestDeadline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deadline")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := WriteDeadline(file, began.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(30*time.Minute, func() {
			if err := WriteDeadline(file, began.Add(3*time.Hour)); err != nil {
				t.Error(err)
			}
		})
		if _, err := AwaitDeadline(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited < 3*time.Hour || waited > 3*time.Hour+time.Minute {
			t.Errorf("it came after %v", waited)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, err := AwaitDeadline(t.Context(), file); err != nil {
			t.Errorf("without a deadline: %v", err)
		}
	})
}

// TestNotices asks a metadata service of the second version, which forgets its tokens at times, for each kind of
// notice.
func TestNotices(t *testing.T) {
	for path, text := range map[string]string{
		"/latest/meta-data/spot/instance-action":               `{"action":"terminate","time":"2026-11-21T18:00:00Z"}`,
		"/latest/meta-data/events/recommendations/rebalance":   `{"noticeTime":"2026-11-21T18:00:00Z"}`,
		"/latest/meta-data/autoscaling/target-lifecycle-state": "Terminated",
	} {
		var asked, tokens atomic.Int32
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token := string(rune('a' + tokens.Load()))
			switch {
			case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
				if _, err := w.Write([]byte(token)); err != nil {
					t.Error(err)
				}
			case r.Header.Get("X-aws-ec2-metadata-token") != token:
				w.WriteHeader(http.StatusUnauthorized)
			case asked.Add(1) == 3:
				tokens.Add(1) // what was handed out is good no more
				w.WriteHeader(http.StatusNotFound)
			case r.URL.Path == path && asked.Load() > 6:
				if _, err := w.Write([]byte(text)); err != nil {
					t.Error(err)
				}
			case strings.HasSuffix(r.URL.Path, "lifecycle-state"):
				if _, err := w.Write([]byte("InService")); err != nil {
					t.Error(err)
				}
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		reason, err := NewMetadata(service.URL, MetadataOptions{Every: time.Millisecond}).Wait(t.Context())
		if err != nil || !strings.Contains(reason, text) {
			t.Errorf("%s: %q, %v", path, reason, err)
		}
		service.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewMetadata("http://127.0.0.1:1", MetadataOptions{}).Wait(ctx); err == nil {
		t.Error("it was given notice by nobody")
	}
}

func FuzzParseMachine(f *testing.F) {
	text, err := json.Marshal(Machine{
		Cluster: "c", Name: "n", Role: Store, Address: "127.0.0.1", Dir: "/d", Bin: "/b",
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"role":"server"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMachine(text)
		if err == nil && m.Check() != nil {
			t.Errorf("%q is taken", text)
		}
	})
}
