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
	Action string // CreateVpc, GetParametersByPath; of services without actions, as S3, the method: HEAD
	Holds  string // text in the request's body, path or Authorization header, so that tests don't meet each other's
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
		is, err := read(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if code := c.door.refuses(is); code != "" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, is.refusal, code)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
}

// asked is a request, as far as a door looks at it.
type asked struct {
	action, text string
	refusal      string // what its service answers when it refuses, but for the code
}

// How services say that they refuse something.
const (
	refusedByEC2 = "<Response><Errors><Error><Code>%s</Code><Message>refused by the " +
		"test</Message></Error></Errors></Response>"
	refusedByXML = "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>refused by the " +
		"test</Message></Error></ErrorResponse>"
	refusedByJSON = `{"__type": "%s", "message": "refused by the test"}`
	refusedByS3   = "<Error><Code>%s</Code><Message>refused by the test</Message></Error>"
)

// read looks at a request, which can be passed on afterwards. What is sent to S3 is left alone, since it may be long.
func read(r *http.Request) (asked, error) {
	is := asked{action: r.Method, refusal: refusedByS3}
	kind := r.Header.Get("Content-Type")
	form := strings.HasPrefix(kind, "application/x-www-form-urlencoded")
	if form || strings.HasPrefix(kind, "application/x-amz-json") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return is, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		is.text = string(body)
	}
	if _, action, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		is.action, is.refusal = action, refusedByJSON
	}
	if form {
		values, err := url.ParseQuery(is.text)
		if err != nil {
			return is, err
		}
		is.action, is.refusal = values.Get("Action"), refusedByXML
		if values.Get("Version") == "2016-11-15" {
			is.refusal = refusedByEC2
		}
		if is.text, err = url.QueryUnescape(is.text); err != nil {
			return is, err
		}
	}
	is.text += r.URL.Path + r.Header.Get("Authorization")
	return is, nil
}

func (d *door) refuses(is asked) (code string) {
	d.Lock()
	defer d.Unlock()
	for i, r := range d.refusals {
		if is.action == r.Action && strings.Contains(is.text, r.Holds) {
			if r.Once {
				d.refusals = slices.Delete(d.refusals, i, i+1)
			}
			return r.Code
		}
	}
	return ""
}
