// Package kerberos lets callers of WebHDFS prove who they are as Hadoop has it: by SPNEGO, once, and then by what the
// first answer gave them.
//
//	GET without proof                    401, WWW-Authenticate: Negotiate
//	GET, Authorization: Negotiate ...    the answer, and Set-Cookie: hadoop.auth=u=..&p=..&t=..&e=..&s=..
//	GET, Cookie: hadoop.auth=...         the answer
//
// URLs to which an answer redirects carry a pass, in the parameter delegation, since many clients take their proof only
// to where they were sent by the user. Cookie and pass are signed with a key of this process: they end with it, and
// then the client proves itself again.
package kerberos

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/goidentity/v6"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/seed3322913c/runner/infra/errs"
)

// What a signed text is for, and how long it is good: as long as Hadoop's cookie, and for a redirect that is followed
// at once.
const (
	forCookie = "kerberos"
	forPass   = "pass"

	cookieLife = 10 * time.Hour
	passLife   = 10 * time.Minute
)

const cookieName = "hadoop.auth"

// Authenticator knows callers by Kerberos tickets for a service whose key it has. Any number of requests may be served
// at once.
type Authenticator struct {
	keytab *keytab.Keytab
	realm  string
	key    []byte
}

// Open reads the key of the service, HTTP/HOST@REALM, from a keytab. Callers of that realm are known.
func Open(file string) (*Authenticator, error) {
	const op = "kerberos.Open"
	kt, err := keytab.Load(file)
	if err != nil {
		return nil, errs.E(op, errs.Invalid, file, err)
	}
	for _, e := range kt.Entries {
		if len(e.Principal.Components) > 0 && e.Principal.Components[0] == "HTTP" {
			key := make([]byte, sha256.Size)
			rand.Read(key) // never fails
			return &Authenticator{kt, e.Principal.Realm, key}, nil
		}
	}
	return nil, errs.Errorf(op, errs.Invalid, file, "it has no key of a principal HTTP/HOST@REALM")
}

// userKey is where a request's context has the user who has proven himself.
type userKey struct{}

// Protect returns a handler that asks callers for proof before inner serves them. Requests that bring a pass or a
// bearer token are served at once: whether it is any good inner asks User.
func (a *Authenticator) Protect(inner http.Handler) http.Handler {
	proven := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := goidentity.FromHTTPRequestContext(r)
		if id.Domain() != a.realm {
			http.Error(w, "Principals of "+id.Domain()+" are not known here", http.StatusForbidden)
			return
		}
		user, _, _ := strings.Cut(id.UserName(), "/")
		http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", HttpOnly: true, Secure: r.TLS != nil,
			Value: a.sign(user, forCookie, time.Now().Add(cookieLife))})
		inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
	negotiate := spnego.SPNEGOKRB5Authenticate(proven, a.keytab, service.DecodePAC(false))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := strings.ToLower(r.URL.RawQuery)
		passed := strings.HasPrefix(query, "delegation=") || strings.Contains(query, "&delegation=")
		if passed || strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			inner.ServeHTTP(w, r)
			return
		}
		for _, c := range r.CookiesNamed(cookieName) {
			if user := a.verify(c.Value, forCookie); user != "" {
				inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
				return
			}
		}
		negotiate.ServeHTTP(w, r)
	})
}

// User returns who has proven himself, by a pass or in a request that Protect let through; "" for nobody.
func (a *Authenticator) User(r *http.Request, pass string) string {
	if pass != "" {
		return a.verify(pass, forPass)
	}
	user, _ := r.Context().Value(userKey{}).(string)
	return user
}

// Pass makes a pass for a user.
func (a *Authenticator) Pass(user string) string {
	return a.sign(user, forPass, time.Now().Add(passLife))
}

// sign writes who somebody is, and until when that is good, as Hadoop's cookies have it.
func (a *Authenticator) sign(user, what string, until time.Time) string {
	name := url.QueryEscape(user)
	text := "u=" + name + "&p=" + name + "@" + a.realm + "&t=" + what + "&e=" + strconv.FormatInt(until.UnixMilli(), 10)
	return text + "&s=" + base64.StdEncoding.EncodeToString(a.mac(text))
}

func (a *Authenticator) mac(text string) []byte {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// verify returns the user of a signed text, "" if it was not signed here for that, or not for now.
func (a *Authenticator) verify(signed, what string) string {
	text, signature, _ := strings.Cut(signed, "&s=")
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(raw, a.mac(text)) {
		return ""
	}
	part, err := url.ParseQuery(text)
	if err != nil {
		return ""
	}
	until, err := strconv.ParseInt(part.Get("e"), 10, 64)
	if err != nil || part.Get("t") != what || until < time.Now().UnixMilli() {
		return ""
	}
	return part.Get("u")
}
