package fleettest

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// door lets requests through to moto, but for those that a test wants refused.
type door struct {
	sync.Mutex
	refusals []Refusal
}

// Refusal is a request that the cloud answers with an error.
type Refusal struct {
	Action string // as in the form of the request: CreateVpc
	Holds  string // text in the request's body or Authorization header, so that tests don't meet each other's
	Code   string // of the error: UnauthorizedOperation, VpcLimitExceeded
	Once   bool   // the next one is let through
}

// Refuse makes the cloud refuse requests from now on.
func (c *Cloud) Refuse(r Refusal) {
	c.door.Lock()
	defer c.door.Unlock()
	c.door.refusals = append(c.door.refusals, r)
}

func (c *Cloud) open(t testing.TB) {
	t.Helper()
	to, err := url.Parse(c.moto)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // clients that are killed are what tests are about
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if form := r.Header.Get("Content-Type"); strings.HasPrefix(form, "application/x-www-form-urlencoded") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if code := c.door.refuses(string(body), r.Header.Get("Authorization")); code != "" {
				refuse(w, code, bytes.Contains(body, []byte("Version=2016-11-15")))
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
}

func (d *door) refuses(body, authorization string) (code string) {
	text, err := url.QueryUnescape(body)
	if err != nil {
		return ""
	}
	d.Lock()
	defer d.Unlock()
	for i, r := range d.refusals {
		if strings.Contains(body, "Action="+r.Action+"&") && strings.Contains(text+authorization, r.Holds) {
			if r.Once {
				d.refusals = slices.Delete(d.refusals, i, i+1)
			}
			return r.Code
		}
	}
	return ""
}

// refuse answers with an error as EC2 writes it, or as the others do.
func refuse(w http.ResponseWriter, code string, ec2 bool) {
	form := "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>refused by the " +
		"test</Message></Error></ErrorResponse>"
	if ec2 {
		form = "<Response><Errors><Error><Code>%s</Code><Message>refused by the test</Message></Error></Errors></Response>"
	}
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, form, code)
}
