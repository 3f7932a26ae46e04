package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/hdfsgw/gateway"
	"github.com/seed3322913c/runner/hdfsgw/kerberos"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/plainhttp"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/below"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/metrics"
	"github.com/seed3322913c/runner/runner/say"
)

type gatewayOptions struct {
	store     string
	http      string
	rpc       string
	auth      string
	tokens    string
	keytab    string
	external  string
	superuser string
	proxies   []string
	coord     string
	cache     string
	scrub     int64
	trash     time.Duration
	json      bool
}

// AddFlags adds the flags of `runner gateway`.
func (o *gatewayOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "What it serves", func(f *pflag.FlagSet) {
		f.StringVar(&o.store, "store", "",
			"`URI` where files and their names are kept: file:///DIR, s3://BUCKET or s3://BUCKET/PREFIX")
		f.StringVar(&o.http, "http", "127.0.0.1:9870", "`ADDRESS` to serve WebHDFS on; 127.0.0.1:9870 by default")
		f.StringVar(&o.rpc, "rpc", "", "`ADDRESS` to serve hdfs:// on, names and data; Hadoop's own port is 8020")
		f.StringVar(&o.external, "external", "",
			"`URL` under which clients reach this gateway (hdfs://: its host); what they ask for by default")
		f.StringVar(&o.coord, "coord", "",
			"`WHERE` gateways of one store agree who leads, the others stand by: a FOLDER, or consul")
	})
	grouped(flags, "How it watches over its files", func(f *pflag.FlagSet) {
		f.Int64Var(&o.scrub, "scrub", 0, "`BYTES` a second to compare with their checksums, once a day; 0: none")
	})
	grouped(flags, "What it keeps", func(f *pflag.FlagSet) {
		f.StringVar(&o.cache, "cache", "",
			"`SIZE` of the cache on this machine's disk, in ~/.runner/cache; 1GiB for buckets, 0: none")
		f.DurationVar(&o.trash, "trash", 0,
			"`TIME` for which what clients remove stays in the trash, as 24h; 0: there is none")
	})
	grouped(flags, "Whom it believes", func(f *pflag.FlagSet) {
		f.StringVar(&o.auth, "auth", "",
			"`HOW` callers are known: token, kerberos, or simple (who they say; the default on loopback)")
		f.StringVar(&o.tokens, "tokens", "", "`FILE` with a token and its user on each line, for --auth token")
		f.StringVar(&o.keytab, "keytab", "", "`FILE` with the key of HTTP/HOST@REALM, for --auth kerberos")
		f.StringVar(&o.superuser, "superuser", "", "`USER` who may do everything; you by default")
		f.StringArrayVar(&o.proxies, "proxy", nil,
			"`USER` who may act for others (doas): USER for all, USER=A,B for A and B; repeat it")
	})
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.json, "json", false, "one line of JSON for each change between serving and standing by")
	})
}

func newGateway(p *program) *cobra.Command {
	var o gatewayOptions
	cmd := verb{
		use:  "gateway --store URI [flags]",
		does: "Serves a store as an HDFS that webhdfs:// and hdfs:// clients can use.",
		more: "Names, permissions, snapshots and the like are kept in a journal in the store, beside the bytes.",
		examples: []string{"runner gateway --store file:///srv/data --rpc 127.0.0.1:8020",
			"runner gateway --store s3://bucket/files --auth token --tokens FILE",
			"runner gateway --store file:///srv/data --http 127.0.0.1:9871 --coord /srv/coord"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.gateway(cmd.Context(), o)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// gateway serves until it is interrupted.
func (p *program) gateway(ctx context.Context, o gatewayOptions) error {
	web, err := o.web()
	if err != nil {
		return err
	}
	host, err := o.host()
	if err != nil {
		return err
	}
	counted := prometheus.NewRegistry()
	st, err := o.openStore(ctx, counted)
	if err != nil {
		return err
	}
	if web.Blocks, err = o.openCache(ctx, st); err != nil {
		return err
	}
	c, err := o.openCoord()
	if err != nil {
		return err
	}
	known := rpc.Options{Trash: o.trash, Host: host,
		Realm: namespace.Realm{Superuser: web.Superuser, Groups: web.Groups, Proxies: web.Proxies}}
	if len(web.Tokens) > 0 || web.Prover != nil {
		if known.Secret, err = gateway.Secret(ctx, st); err != nil {
			return err
		}
	}
	g := gateway.New(st, gateway.Options{Web: web, Coord: c, Scrub: o.scrub,
		OnError: func(err error) { fmt.Fprintln(p.err, err) }})
	counted.MustRegister(g.Collector(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	doors, at, err := o.listen()
	if err != nil {
		return err
	}
	interrupted := ctx.Err
	all, ctx := errgroup.WithContext(ctx)
	// Who leads resigns when nobody is served any more: what has arrived of a file that is being written is entered first.
	leading, resign := context.WithCancel(context.WithoutCancel(ctx))
	defer resign()
	all.Go(func() error { return g.Run(leading) })
	all.Go(func() error { return p.tellTurns(ctx, g, at, o.json) })
	all.Go(func() error {
		defer resign()
		servers, ctx := errgroup.WithContext(ctx)
		servers.Go(func() error { return serveHTTP(ctx, doors.http, protect(web, g.Metrics(counted))) })
		if doors.rpc != nil {
			servers.Go(func() error { return rpc.New(web.Blocks, g.Names, known).Serve(ctx, doors.rpc) })
		}
		return servers.Wait()
	})
	err = all.Wait()
	if cause := interrupted(); cause != nil {
		return toldError{errs.E("gateway", errs.Canceled, o.http, cause)} // who has ended it knows
	}
	return err
}

// doors are where a gateway listens; rpc is nil if it does not speak that.
type doors struct{ http, rpc net.Listener }

// listen opens the doors.
func (o *gatewayOptions) listen() (d doors, at addresses, err error) {
	if d.http, err = listen(o.http); err != nil {
		return d, at, err
	}
	at.HTTP = d.http.Addr().String()
	if o.rpc != "" {
		if d.rpc, err = listen(o.rpc); err != nil {
			return d, at, errors.Join(err, d.http.Close())
		}
		at.RPC = d.rpc.Addr().String()
	}
	return d, at, nil
}

// lastRequests is how long requests may go on that are under way when a gateway ends.
const lastRequests = 3 * time.Second

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, inner net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10}
	l := plainhttp.New(inner, h, webhdfs.Short)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRequests)
	defer cancel()
	if server.Shutdown(last) != nil || l.Drain(last) != nil {
		return server.Close() // some are too slow
	}
	return nil
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, say.Errorf(errs.Unavailable, "%s cannot be served: %s", address, errs.Cause(err))
	}
	return l, nil
}

// addresses are where a gateway serves.
type addresses struct {
	HTTP string `json:"http"`
	RPC  string `json:"rpc,omitempty"`
}

func (a addresses) String() string {
	if a.RPC == "" {
		return "webhdfs://" + a.HTTP
	}
	return "webhdfs://" + a.HTTP + " and hdfs://" + a.RPC
}

// turn is told when the gateway begins or ends to lead.
type turn struct {
	Event string `json:"event"` // "turn"
	addresses
	Leader bool `json:"leader"`
}

// tellTurns says at first, and at each change, whether the gateway leads.
func (p *program) tellTurns(ctx context.Context, g *gateway.Gateway, at addresses, asJSON bool) error {
	leads := false
	for {
		switch {
		case asJSON:
			if err := writeJSON(p.out, turn{"turn", at, leads}); err != nil {
				return err
			}
		case leads:
			fmt.Fprintf(p.err, "%s: serving.\n", at)
		default:
			fmt.Fprintf(p.err, "%s: on standby.\n", at)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.Turns():
			leads = g.Leads()
		}
	}
}

// openCoord opens what the gateways of one store agree through: nothing for a gateway that is alone, a folder on one
// machine, or Consul as the environment of its tools says.
func (o *gatewayOptions) openCoord() (coord.Coordinator, error) {
	switch o.coord {
	case "":
		return nil, nil
	case "consul":
		return consul.Open(consul.Options{})
	}
	return dir.Open(o.coord)
}

// openStore opens a store of the gateway's own. What is asked of a bucket is counted; around a folder that would keep
// the kernel from sending files by itself.
func (o *gatewayOptions) openStore(ctx context.Context, counted prometheus.Registerer) (store.Store, error) {
	if o.store == "" {
		return nil, say.Errorf(errs.Invalid, "gateway needs --store; see `runner help gateway`")
	}
	if path, ok := strings.CutPrefix(o.store, "file://"); ok && strings.HasPrefix(path, "/") {
		return file.New(path, file.Options{})
	}
	place, name := cut(o.store)
	if isGateway(place) {
		return nil, say.Errorf(errs.Unsupported, "--store %s: a gateway keeps files in file:///DIR or s3://BUCKET", o.store)
	}
	st, err := openStore(ctx, place, true)
	if err != nil {
		return nil, err
	}
	if st, err = metrics.New(st, counted); err != nil || name == "" {
		return st, err
	}
	return below.New(st, name)
}

// web checks how callers are known. Without proof only callers on this machine are believed, unless it is said plainly.
func (o *gatewayOptions) web() (webhdfs.Options, error) {
	w := webhdfs.Options{Superuser: o.superuser, External: o.external, StoreURI: strings.TrimRight(o.store, "/"),
		Proxies: map[string][]string{}, Trash: o.trash}
	if o.trash < 0 || o.trash%time.Minute != 0 {
		return w, say.Errorf(errs.Invalid, "--trash %s is not in minutes or hours", o.trash)
	}
	for _, proxy := range o.proxies {
		user, others, some := strings.Cut(proxy, "=")
		if w.Proxies[user] = nil; some {
			w.Proxies[user] = strings.Split(others, ",")
		}
	}
	if w.Superuser == "" {
		me, err := user.Current()
		if err != nil {
			return w, say.Errorf(errs.Invalid, "nobody knows who you are (%s): say --superuser", errs.Cause(err))
		}
		w.Superuser = me.Username
	}
	loopback, err := onLoopback("--http", o.http)
	if err == nil && o.rpc != "" {
		var too bool
		too, err = onLoopback("--rpc", o.rpc)
		loopback = loopback && too
	}
	switch {
	case err != nil:
		return w, err
	case o.keytab != "" && cmp.Or(o.auth, "kerberos") != "kerberos" || o.keytab == "" && o.auth == "kerberos":
		return w, say.Errorf(errs.Invalid, "--keytab FILE and --auth kerberos belong together")
	case o.auth == "simple", o.auth == "" && o.tokens == "" && o.keytab == "" && loopback:
		return w, nil
	case o.auth == "" && o.tokens == "" && o.keytab == "":
		return w, say.Errorf(errs.Invalid, "%s can be reached from other machines: say --auth token or kerberos, or --auth"+
			" simple if everybody there may be whoever he says", strings.TrimSuffix(o.http+" or "+o.rpc, " or "))
	case o.keytab == "" && (cmp.Or(o.auth, "token") != "token" || o.tokens == ""):
		return w, say.Errorf(errs.Invalid, "--auth is simple, token with --tokens FILE, or kerberos with --keytab FILE")
	}
	if o.tokens != "" {
		if w.Tokens, err = readTokens(o.tokens); err != nil {
			return w, err
		}
	}
	if o.keytab != "" {
		known, err := kerberos.Open(o.keytab)
		if err != nil {
			return w, say.Errorf(errs.KindOf(err), "--keytab %s cannot be used: %s", o.keytab, errs.Cause(err))
		}
		w.Prover = known
	}
	return w, nil
}

// host is the name under which clients of hdfs:// reach the data; "" for the one at which they reached the names.
func (o *gatewayOptions) host() (string, error) {
	if o.external == "" {
		return "", nil
	}
	u, err := url.Parse(o.external)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", say.Errorf(errs.Invalid, "--external %s is not a URL like http://files.example.org:9870", o.external)
	}
	return u.Hostname(), nil
}

// protect puts what asks callers for proof in front of a handler, if there is such.
func protect(w webhdfs.Options, inner http.Handler) http.Handler {
	if known, ok := w.Prover.(*kerberos.Authenticator); ok {
		return known.Protect(inner)
	}
	return inner
}

// onLoopback reports whether only this machine can reach an address.
func onLoopback(flag, address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, say.Errorf(errs.Invalid, "%s %s is not HOST:PORT", flag, address)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// readTokens reads lines of a token and its user.
func readTokens(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, say.Errorf(errs.KindOf(err), "--tokens %s cannot be read: %s", path, errs.Cause(err))
	}
	defer f.Close()
	tokens := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		switch words := strings.Fields(lines.Text()); len(words) {
		case 0:
		case 2:
			tokens[words[0]] = words[1]
		default:
			return nil, say.Errorf(errs.Invalid, "--tokens %s: a line is not a TOKEN and a USER", path)
		}
	}
	if len(tokens) == 0 {
		return nil, say.Errorf(errs.Invalid, "--tokens %s has no tokens", path)
	}
	return tokens, nil
}
