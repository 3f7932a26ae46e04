package nodeinit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// cloud is what an instance asks: its metadata service, and the services of its region.
type cloud struct {
	*testing.T
	mu      sync.Mutex
	asked   []string // actions of services, in their order
	looks   int      // for servers
	servers []string // addresses that are there at the third look
}

func (r *cloud) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	metadata := map[string]string{"instance-id": "i-7", "local-ipv4": "10.64.0.7", "placement/region": "eu-west-1"}
	text := string(body)
	switch path, isData := strings.CutPrefix(req.URL.Path, "/latest/meta-data/"); {
	case req.Method == http.MethodPut:
		fmt.Fprint(w, "token")
	case isData && metadata[path] != "":
		fmt.Fprint(w, metadata[path])
	case isData:
		w.WriteHeader(http.StatusNotFound)
	case req.Header.Get("X-Amz-Target") == "AmazonSSM.GetParameter":
		r.asked = append(r.asked, text)
		fmt.Fprint(w, `{"Parameter":{"Value":"the secret"}}`)
	case strings.Contains(text, "Action=DescribeInstances"):
		fmt.Fprint(w, r.instances())
	default:
		r.asked = append(r.asked, text)
		fmt.Fprint(w, "<Answer/>")
	}
}

// instances is what EC2 answers: a server more with every look, and always one that has ended, and a worker.
func (r *cloud) instances() string {
	r.looks++
	item := func(id, state, role, address string) string {
		return fmt.Sprintf("<item><instanceId>%s</instanceId><instanceState><name>%s</name></instanceState>"+
			"<privateIpAddress>%s</privateIpAddress><tagSet><item><key>runner:role</key><value>%s</value></item></tagSet></item>",
			id, state, address, role)
	}
	text := item("i-1", "shutting-down", "server", "10.64.0.1") + item("i-2", "running", "worker", "10.64.0.2")
	for n, address := range r.servers[:min(r.looks, len(r.servers))] {
		text += item(fmt.Sprint("i-s", n), "pending", "server", address)
	}
	return "<R><reservationSet><item><instancesSet>" + text + "</instancesSet></item></reservationSet></R>"
}

func newInstance(t *testing.T, r *cloud, role Role) *Instance {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		metadataEnv: server.URL, endpointEnv: server.URL, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
		"AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	d := Duty{
		Cluster: "demo", Role: role, Bucket: "runner-demo", Servers: 3, Programs: map[string]string{"consul": "c0"},
		Driver: nomad.RawExec,
	}
	i, err := NewInstance(t.Context(), d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	i.every = time.Millisecond
	return i
}

// TestInstance asks all that an instance has to know, before and after it is a machine of the fleet.
func TestInstance(t *testing.T) {
	r := &cloud{T: t, servers: []string{"10.64.0.11", "10.64.0.12", "10.64.0.13"}}
	i := newInstance(t, r, Worker)
	m, err := i.Machine(t.Context())
	if err != nil || m.Name != "i-7" || m.Address != "10.64.0.7" || m.Role != Worker || m.Expect != 3 ||
		m.Depot != "s3://runner-demo/_runner" || m.Env["AWS_REGION"] != "eu-west-1" || m.Binaries["consul"] != "c0" ||
		m.Driver != nomad.RawExec {
		t.Errorf("it is %+v (%v)", m, err)
	}
	found, err := i.Servers(t.Context())
	if err != nil || !slices.Equal(found, r.servers[:2]) || r.looks != 2 {
		t.Errorf("it joins %v after %d looks (%v), want two of three servers", found, r.looks, err)
	}
	m.Servers = found
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	if secret, err := i.Secret(t.Context(), "node/ca"); err != nil || secret != "the secret" {
		t.Errorf("a secret is %q (%v)", secret, err)
	}
	if err := i.Left(t.Context()); err != nil {
		t.Error(err)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	wanted := [][]string{
		{"/runner/demo/node/ca", "WithDecryption"},
		{"CompleteLifecycleAction", "runner-demo-workers", "i-7", "drain"},
		{"SetDesiredCapacity", "runner-demo-workers", "DesiredCapacity=0"},
		{"SetDesiredCapacity", "runner-demo-servers", "DesiredCapacity=0"},
	}
	if len(r.asked) != len(wanted) {
		t.Fatalf("it has asked %q", r.asked)
	}
	for n, words := range wanted {
		for _, word := range words {
			if !strings.Contains(r.asked[n], word) {
				t.Errorf("it has asked %q, want %q in it", r.asked[n], word)
			}
		}
	}
}

// TestServerLeavesAlone looks whether nobody is told of a server that ends, for which no hook waits.
func TestServerLeavesAlone(t *testing.T) {
	r := &cloud{T: t}
	if err := newInstance(t, r, Server).Left(t.Context()); err != nil || len(r.asked) > 0 {
		t.Errorf("it has asked %q (%v)", r.asked, err)
	}
}

func TestDutyCheck(t *testing.T) {
	whole := Duty{Cluster: "demo", Role: Server, Bucket: "b", Servers: 1}
	if err := whole.Check(); err != nil {
		t.Error(err)
	}
	for what, spoil := range map[string]func(*Duty){
		"no cluster": func(d *Duty) { d.Cluster = "" }, "no bucket": func(d *Duty) { d.Bucket = "" },
		"a store": func(d *Duty) { d.Role = Store }, "nobody to join": func(d *Duty) { d.Servers = 0 },
	} {
		d := whole
		spoil(&d)
		if errs.KindOf(d.Check()) != errs.Invalid {
			t.Errorf("%s is taken", what)
		}
	}
}

// stopped hears when a fleet is ended.
type stopped chan time.Time

func (s stopped) Stop(ctx context.Context) error {
	select {
	case s <- time.Now():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestIdle counts the time for which a fleet has had no job.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		n := &node{options: Options{Idle: 10 * time.Minute, Log: slog.New(slog.DiscardHandler)}}
		busy := func(context.Context) (bool, error) {
			switch at := time.Since(began); {
			case at < time.Hour:
				return true, nil
			case at < 2*time.Hour:
				return false, errs.Unavailable // nobody knows
			}
			return false, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(stopped)
		go n.idle(ctx, ended, busy)
		idle := (<-ended).Sub(began) - 2*time.Hour
		if idle < n.options.Idle-lookForJobs || idle > n.options.Idle+time.Minute {
			t.Errorf("the fleet was ended when it had been idle for %v", idle)
		}
		if again := (<-ended).Sub(began) - 2*time.Hour; again < idle+n.options.Idle {
			t.Errorf("it was ended again after %v, though it was idle for %v", again, again-idle)
		}
		cancel()
		synctest.Wait()
	})
}
