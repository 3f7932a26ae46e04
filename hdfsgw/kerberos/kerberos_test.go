package kerberos

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

const (
	realm = "EXAMPLE.COM"
	spn   = "HTTP/localhost"
)

// newKeytab returns keys that a password makes.
func newKeytab(t *testing.T, password string) *keytab.Keytab {
	t.Helper()
	kt := keytab.New()
	if err := kt.AddEntry(spn, realm, password, time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	return kt
}

func open(t *testing.T, kt *keytab.Keytab) *Authenticator {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keytab")
	raw, err := kt.Marshal()
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// negotiation is the header of a client that has a ticket, which the holder of kt has issued.
func negotiation(t *testing.T, kt *keytab.Keytab, user, domain string, ends time.Time) string {
	t.Helper()
	cl := client.NewWithPassword(user, domain, "unused", config.New())
	ticket, key, err := messages.NewTicket(cl.Credentials.CName(), domain,
		types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, spn), realm, types.NewKrbFlags(), kt,
		etypeID.AES256_CTS_HMAC_SHA1_96, 1, time.Now(), time.Now(), ends, ends)
	if err != nil {
		t.Fatal(err)
	}
	token, err := spnego.NewNegTokenInitKRB5(cl, ticket, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := (&spnego.SPNEGOToken{Init: true, NegTokenInit: token}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(raw)
}

// whoami serves a handler that tells who it believes to have asked.
func whoami(t *testing.T, a *Authenticator) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(a.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, a.User(r, r.URL.Query().Get("delegation"))) // what is lost the test misses
	})))
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, target string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestATicketGivesACookie(t *testing.T) {
	kt := newKeytab(t, "secret")
	s := whoami(t, open(t, kt))
	resp, _ := ask(t, s.URL, http.Header{})
	if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != "Negotiate" {
		t.Fatal(resp.Status, resp.Header)
	}
	hour := time.Now().Add(time.Hour)
	resp, who := ask(t, s.URL, http.Header{"Authorization": {negotiation(t, kt, "alice", realm, hour)}})
	if who != "alice" || len(resp.Cookies()) != 1 {
		t.Fatal(resp.Status, who, resp.Cookies())
	}
	cookie := resp.Cookies()[0]
	if !strings.HasPrefix(cookie.Value, "u=alice&p=alice@EXAMPLE.COM&t=kerberos&e=") {
		t.Error(cookie.Value)
	}
	if _, who := ask(t, s.URL, http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}}); who != "alice" {
		t.Errorf("with the cookie: %q", who)
	}
	admin := http.Header{"Authorization": {negotiation(t, kt, "hdfs/admin", realm, hour)}}
	if _, who := ask(t, s.URL, admin); who != "hdfs" {
		t.Errorf("of hdfs/admin: %q", who)
	}
}

func TestBadProofIsRefused(t *testing.T) {
	kt := newKeytab(t, "secret")
	a := open(t, kt)
	s := whoami(t, a)
	hour := time.Now().Add(time.Hour)
	signed := a.sign("alice", forCookie, hour)
	for name, h := range map[string]http.Header{
		"another key":     {"Authorization": {negotiation(t, newKeytab(t, "guessed"), "alice", realm, hour)}},
		"an old ticket":   {"Authorization": {negotiation(t, kt, "alice", realm, time.Now().Add(-time.Hour))}},
		"no ticket":       {"Authorization": {"Negotiate aGVsbG8="}},
		"another realm":   {"Authorization": {negotiation(t, kt, "alice", "EVIL.COM", hour)}},
		"a forged cookie": {"Cookie": {cookieName + "=" + strings.Replace(signed, "u=alice", "u=root", 1)}},
		"an old cookie":   {"Cookie": {cookieName + "=" + a.sign("alice", forCookie, time.Now().Add(-time.Second))}},
		"another's":       {"Cookie": {cookieName + "=" + open(t, kt).sign("alice", forCookie, hour)}},
		"a pass":          {"Cookie": {cookieName + "=" + a.Pass("alice")}},
	} {
		resp, body := ask(t, s.URL, h)
		if resp.StatusCode < 400 {
			t.Errorf("%s: %s %q", name, resp.Status, body)
		}
	}
}

func TestPasses(t *testing.T) {
	a := open(t, newKeytab(t, "secret"))
	s := whoami(t, a)
	for pass, want := range map[string]string{a.Pass("alice"): "alice", a.Pass("a&u=root"): "a&u=root", "x": "",
		a.sign("alice", forCookie, time.Now().Add(time.Hour)): "", a.sign("alice", forPass, time.Now().Add(-time.Hour)): ""} {
		if _, who := ask(t, s.URL+"/?delegation="+url.QueryEscape(pass), http.Header{}); who != want {
			t.Errorf("%s: %q, not %q", pass, who, want)
		}
	}
	if _, who := ask(t, s.URL+"/?delegation=", http.Header{}); who != "" {
		t.Errorf("without a pass: %q", who)
	}
}

func TestKeytabsNeedAnHTTPKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keytab")
	if _, err := Open(file); err == nil {
		t.Error("no file")
	}
	kt := keytab.New()
	if err := kt.AddEntry("nn/localhost", realm, "x", time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	raw, err := kt.Marshal()
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("a key of another service")
	}
}
