package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/say"
)

// Cookie is where a browser, which cannot say a header, keeps its token.
const Cookie = "runner-token"

// door lets those in who may do what they ask for, and not too often.
type door struct {
	Options
	mu     sync.Mutex
	limits map[string]*rate.Limiter // by id of a token
}

// maxRequest bounds what any request may carry, in bytes: an event of a function.
const maxRequest = invoke.MaxPayload

// maxLimits bounds what is remembered of who has asked how often, in tokens.
const maxLimits = 10_000

func newDoor(o Options) *door {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &door{Options: o, limits: map[string]*rate.Limiter{}}
}

// open returns the handler of a route.
func (d *door) open(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := d.admit(r, route.Role)
		if err != nil {
			if token.Role == access.Nobody && errs.KindOf(err) == errs.Permission {
				w.Header().Set("WWW-Authenticate", `Bearer realm="runner"`)
				err = refusal{err, http.StatusUnauthorized}
			}
			if errs.KindOf(err) == errs.Exhausted {
				w.Header().Set("Retry-After", "1")
			}
			WriteProblem(w, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest) // most answers take less
		if err := route.Answer(w, r.WithContext(context.WithValue(r.Context(), caller{}, token))); err != nil {
			WriteProblem(w, err)
		}
	}
}

// caller is the key under which a request's context has the token that it was asked with.
type caller struct{}

// CallerOf returns the token that a request was asked with; one without a name if nobody had to show any.
func CallerOf(ctx context.Context) access.Token {
	token, _ := ctx.Value(caller{}).(access.Token)
	return token
}

// admit returns the token of a request, if it may have what needs a role.
func (d *door) admit(r *http.Request, role access.Role) (access.Token, error) {
	if d.Who == nil {
		return access.Token{Role: access.Admin}, nil
	}
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if cookie, err := r.Cookie(Cookie); !ok && err == nil {
		text, ok = cookie.Value, true
	}
	if role == access.Nobody {
		return access.Token{}, nil
	}
	if !ok {
		return access.Token{}, say.Errorf(errs.Permission,
			"who asks? Say Authorization: Bearer TOKEN; `runner token create` makes one")
	}
	token, err := d.Who(r.Context(), text)
	if err != nil {
		return token, err
	}
	if token.Role < role {
		return token, say.Errorf(errs.Permission, "the token %q has the role %s; this needs %s", token.Name, token.Role, role)
	}
	if d.Rate > 0 && !d.limit(token.ID).AllowN(d.Now(), 1) {
		return token, say.Errorf(errs.Exhausted, "the token %q asks more than %g times a second", token.Name, d.Rate)
	}
	return token, nil
}

func (d *door) limit(id string) *rate.Limiter {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.limits[id]
	if l == nil {
		if len(d.limits) >= maxLimits {
			clear(d.limits)
		}
		l = rate.NewLimiter(rate.Limit(d.Rate), d.Burst)
		d.limits[id] = l
	}
	return l
}
