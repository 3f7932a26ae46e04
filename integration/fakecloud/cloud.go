package fakecloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// AWSEnv is set in all machines; a program that is called aws is then to play the command line tool of that name.
const AWSEnv = "RUNNER_FAKE_AWS"

// Options are what a cloud is made of.
type Options struct {
	IP     string // path of iproute2's program
	AWS    string // path of a program that plays `aws`; see AWSEnv
	Moto   string // URL of the server that plays AWS
	Region string
	Dir    string // folder for the machines' disks and consoles
	// Grace is how long a machine that shall end may drain; 120 s, as clouds give.
	Grace time.Duration
	// Every is the time between two looks at moto; 300 ms.
	Every time.Duration
	// Log hears what happens. It may be called by many goroutines at once.
	Log func(format string, args ...any)
}

// Cloud plays machines. Its methods may be called by many goroutines at once.
type Cloud struct {
	options Options
	moto    *moto
	network *network
	proxy   *http.Server
	stop    context.CancelFunc
	stopped chan struct{}
	mu      struct {
		sync.Mutex
		machines   map[string]*machine
		seen       map[string]bool // instances that were started, or shall never be
		departures map[string]Departure
		fault      Fault
		errs       []error
	}
	changed chan struct{} // holds a token when machines have come or gone
	ends    sync.WaitGroup
}

// Open starts to play, until Close is called. It waits until no other cloud plays on this host.
func Open(o Options) (*Cloud, error) {
	if o.Grace == 0 {
		o.Grace = 120 * time.Second
	}
	if o.Every == 0 {
		o.Every = 300 * time.Millisecond
	}
	n, err := layNetwork(o.IP)
	if err != nil {
		return nil, err
	}
	c := &Cloud{
		options: o, moto: newMoto(o.Moto, o.Region), network: n, stopped: make(chan struct{}),
		changed: make(chan struct{}, 1),
	}
	c.mu.machines, c.mu.seen, c.mu.departures = map[string]*machine{}, map[string]bool{}, map[string]Departure{}
	if err := c.openDoor(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	go c.watch(ctx)
	return c, nil
}

// doorPort is where machines reach AWS.
const doorPort = "5555"

func (c *Cloud) door() string { return "http://" + net.JoinHostPort(Gateway, doorPort) }

// openDoor lets machines reach moto, and answers what moto can't.
func (c *Cloud) openDoor() error {
	to, err := url.Parse(c.options.Moto)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(Gateway, doorPort))
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0), // machines end in the middle of what they ask
	}
	c.proxy = &http.Server{Handler: c.drains(newDepot(proxy, to, c.options.Dir)), ReadHeaderTimeout: time.Minute}
	go func() { _ = c.proxy.Serve(listener) }() // ends with the cloud
	return nil
}

// drains takes note of machines that say that nothing keeps them, and hands all else on.
func (c *Cloud) drains(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := drained(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if id == "" {
			next.ServeHTTP(w, r)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if m := c.mu.machines[id]; m != nil {
			m.release()
		}
		fmt.Fprint(w, "<CompleteLifecycleActionResponse/>")
	})
}

// Close ends all machines, and gives the host's network back as it was. It returns what went wrong on the way.
func (c *Cloud) Close() error {
	c.stop()
	<-c.stopped
	c.ends.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.mu.errs)
	for _, m := range c.mu.machines {
		all = append(all, m.off())
	}
	return errors.Join(append(all, c.proxy.Close(), c.network.close())...)
}

// Consoles are the ends of what the machines have said, for who looks for the reason of something.
func (c *Cloud) Consoles() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(c.mu.machines)) {
		b.WriteString(c.mu.machines[id].tail())
	}
	return b.String()
}

// Running returns the instances of a role that run, those that are told to end included.
func (c *Cloud) Running(role string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for id, m := range c.mu.machines {
		if m.tag(roleTag) == role {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// Changed has a token when machines have come or gone.
func (c *Cloud) Changed() <-chan struct{} { return c.changed }

// At returns the instance that has an address; "" if none does.
func (c *Cloud) At(address string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, m := range c.mu.machines {
		if m.Private == address {
			return id
		}
	}
	return ""
}

func (c *Cloud) remove(m *machine) {
	c.mu.Lock()
	delete(c.mu.machines, m.ID)
	c.mu.Unlock()
	c.notify()
}

func (c *Cloud) notify() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}
