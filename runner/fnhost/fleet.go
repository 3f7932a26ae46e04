package fnhost

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
)

// meaningFor is how long the host of a fleet believes what an alias meant: a look into a bucket takes its time.
const meaningFor = 500 * time.Millisecond

// InFleet is the site of a machine of a fleet, which listens at around. Only the fleet's control knows what to say to
// it.
func InFleet(m *fleet.Member, around fleet.Surroundings, dir string) Site {
	secret := rand.Text()
	around.Listen = net.JoinHostPort(m.Address, "0")
	urlOf := func(at net.Addr) string {
		here := around
		here.Listen = at.String()
		return here.URL()
	}
	return Site{
		workers: newWorkers(m, urlOf),
		Store:   m.Store, Dir: dir, Writer: m.Address, AliasFor: meaningFor,
		Hold: func(ctx context.Context) (coord.Lease, error) {
			return m.Coord.Acquire(ctx, fleet.FunctionsKey, leaseTTL)
		},
		Listen: around.Open,
		Announce: func(ctx context.Context, at net.Addr) error {
			return m.AnnounceFunctions(ctx, fleet.FunctionHost{URL: urlOf(at), Secret: secret})
		},
		Who: func(_ context.Context, text string) (access.Token, error) {
			if subtle.ConstantTimeCompare([]byte(text), []byte(secret)) != 1 {
				return access.Token{}, say.Errorf(errs.Permission, "the host of functions is asked by way of the fleet's control")
			}
			return access.Token{Name: "control", Role: access.Admin}, nil
		},
	}
}

// FleetPart answers everything about the functions of a fleet, for its control: what is known from the store, the rest
// by asking the host, which is started if need be.
func FleetPart(f *fleet.Fleet) api.Part {
	st := f.Jobs().Store
	known := sync.OnceValues(func() (*invoke.Follower, error) { return invoke.Follow(st) })
	by := sync.OnceValues(func() (http.RoundTripper, error) {
		_, _, by, err := f.API()
		return by, err
	})
	ledger := func(ctx context.Context) (*invoke.Ledger, error) {
		f, err := known()
		if err != nil {
			return nil, err
		}
		return f.Ledger(ctx)
	}
	forward := func(w http.ResponseWriter, r *http.Request) error {
		transport, err := by()
		if err != nil {
			return err
		}
		host, err := f.FunctionHost(r.Context())
		if err != nil {
			return err
		}
		return forward(w, r, host, transport, f.LostFunctionHost)
	}
	return api.FunctionsPart(api.Functions{
		Store: st, Ledger: ledger, Forward: forward, Keep: f.KeepSecrets, Forget: f.ForgetSecrets,
	})
}

// forward asks the host what control was asked. lost is called if it does not answer.
func forward(w http.ResponseWriter, r *http.Request, host fleet.FunctionHost, by http.RoundTripper, lost func()) error {
	at, err := url.Parse(host.URL)
	if err != nil {
		return errs.E("fnhost.Forward", errs.Corrupt, host.URL, err)
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(at)
			p.Out.Header.Set("Authorization", "Bearer "+host.Secret)
			p.Out.Header.Del("Cookie")
		},
		Transport: by,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			lost()
			api.WriteProblem(w, say.Errorf(errs.Unavailable, "the host of functions is being replaced. Try again"))
		},
	}
	proxy.ServeHTTP(w, r)
	return nil
}
