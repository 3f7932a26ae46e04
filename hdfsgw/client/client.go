// Package client talks to gateways, and to Hadoop's NameNodes, over WebHDFS.
//
//	c, err := client.New([]string{"10.0.0.1:9870", "10.0.0.2:9870"}, client.Options{User: "alice"})
//	s, err := c.Status(ctx, "/logs")
//	st := client.NewStore(c)             // the same files as a store.Store, for jobs
//
// A Client has the addresses of all gateways of one namespace. It asks the one that answered last; one that stands by,
// is gone, or asks to be asked again makes it try the next, with pauses that grow, until Options.Patience is over. Each
// operation that changes something has an id of its own, so a gateway that did it before its answer was lost does not
// do it again; a NameNode knows no such ids, and there a repetition of what was done may be refused.
//
// Files are written as Hadoop's FsShell does: under another name first, then renamed. Bytes are read from the gateway,
// or, when Options.Resolve can open the store in which the gateway keeps them, from there.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Options of a Client. The zero Options are for a gateway that believes whoever asks.
type Options struct {
	User       string // who asks, where that is believed; "" says nothing
	DoAs       string // whom User acts for; "" for himself
	Token      string // sent as "Authorization: Bearer", to the given addresses only
	Delegation string // a delegation token; then User is not said

	// Patience is how long passing trouble is met by trying again; 0 means 30 s, less than 0 not at all.
	Patience time.Duration
	// HTTP makes requests; nil means a pool of kept connections of the Client's own.
	HTTP http.RoundTripper
	// Resolve opens the store in which a gateway keeps its files; nil means that all bytes come from the gateway.
	Resolve store.Resolve
}

// Client is one user's way to one namespace. Its methods may be called by many goroutines at once.
//
// Errors wrap the *namespace.Error that was received, and so have its kind and Hadoop's message. Unavailable says that
// nobody could be reached or leads.
type Client struct {
	bases  []*url.URL
	last   atomic.Int32 // index of the base that answered last
	plain  atomic.Bool  // the servers know nothing of objects: they are NameNodes
	short  atomic.Bool  // the servers are data nodes themselves
	http   http.Client
	o      Options
	direct struct {
		sync.Mutex
		stores map[string]store.Store // by URI; nil for one that is not to be had, or is another
	}
}

// New returns a client of the gateways at addresses: HOST:PORT, or URLs of schemes http and https.
func New(addresses []string, o Options) (*Client, error) {
	const op = "client.New"
	c := &Client{o: o}
	for _, address := range addresses {
		text := address
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return nil, errs.Errorf(op, errs.Invalid, address, "not HOST:PORT, or the URL of a gateway")
		}
		c.bases = append(c.bases, &url.URL{Scheme: u.Scheme, Host: u.Host})
	}
	if len(c.bases) == 0 {
		return nil, errs.Errorf(op, errs.Invalid, nil, "no address of a gateway")
	}
	c.o.Patience = cmp.Or(o.Patience, 30*time.Second)
	transport := o.HTTP
	if transport == nil {
		transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: 2 * time.Minute,
			ExpectContinueTimeout: time.Second, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		}
	}
	c.http = http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	c.direct.stores = map[string]store.Store{}
	return c, nil
}

// String returns the namespace as a URI without a path.
func (c *Client) String() string { return "webhdfs://" + c.bases[0].Host }

// query is a list of parameters, name after value.
type query []string

// request is one operation.
type request struct {
	method, op, path string
	query            query
	id               string // of the operation; "" for one that changes nothing
	body             []byte // of an operation without a data part
}

// pauses between tries.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// again calls f with one base after the other until it does not fail for a passing reason.
func (c *Client) again(ctx context.Context, f func(base *url.URL) error) error {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstPause), backoff.WithMaxInterval(lastPause),
		backoff.WithMaxElapsedTime(max(c.o.Patience, 1)))
	at := int(c.last.Load())
	return backoff.Retry(func() error {
		err := f(c.bases[at])
		switch {
		case err == nil:
			c.last.Store(int32(at))
			return nil
		case !errs.Retryable(err) || c.o.Patience < 0 || ctx.Err() != nil:
			return backoff.Permanent(err)
		}
		at = (at + 1) % len(c.bases)
		return err
	}, backoff.WithContext(b, ctx))
}

// do executes an operation and decodes its answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, r request, out any) error {
	err := c.again(ctx, func(base *url.URL) error {
		resp, err := c.send(ctx, base, r.method, c.target(base, r), r.id, bytes.NewReader(r.body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return decode(resp, out)
	})
	return c.told(r, err)
}

// told adds what was done to which file, once.
func (c *Client) told(r request, err error) error {
	if err == nil {
		return nil
	}
	return errs.E("hdfs."+r.op, errs.Other, c.String()+r.path, err)
}

// maxAnswer bounds a document, in bytes.
const maxAnswer = 64 << 20

func decode(resp *http.Response, out any) error {
	if out == nil {
		_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
		return passing(err)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return passing(err)
	}
	if len(data) == 0 {
		return nil // of operations that have nothing to tell
	}
	if err := json.Unmarshal(data, out); err != nil {
		return errs.Errorf("client.decode", errs.Corrupt, nil, "the answer is not what the operation has: %w", err)
	}
	return nil
}

// target is the URL of an operation.
func (c *Client) target(base *url.URL, r request) *url.URL {
	var q strings.Builder
	q.WriteString("op=" + r.op)
	add := func(name, value string) {
		if value != "" {
			q.WriteString("&" + name + "=" + url.QueryEscape(value))
		}
	}
	if c.o.Delegation != "" {
		add("delegation", c.o.Delegation)
	} else {
		add("user.name", c.o.User)
	}
	add("doas", c.o.DoAs)
	for i := 0; i < len(r.query); i += 2 {
		add(r.query[i], r.query[i+1])
	}
	u := *base
	u.Path, u.RawQuery = "/webhdfs/v1"+r.path, q.String()
	return &u
}

// send makes one HTTP request. An answer that tells of a refusal comes as an error, a redirect as an answer.
func (c *Client) send(ctx context.Context, base *url.URL, method string, to *url.URL, id string,
	body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), body)
	if err != nil {
		return nil, errs.E("client.send", errs.Invalid, nil, err)
	}
	req.URL = to // as it is, also where a text would be read otherwise
	if id != "" {
		req.Header.Set(webhdfs.OperationHeader, id)
	}
	if c.o.Token != "" && to.Host == base.Host && to.Scheme == base.Scheme {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, passing(err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// passing says that an error of the network may pass, unless it is the end of a context.
func passing(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which may have a token in it
	}
	// Compared by identity: the network's own timeouts say that they are deadlines, too.
	if err == nil || err == context.DeadlineExceeded || errors.Is(err, context.Canceled) {
		return err
	}
	return errs.E("client.send", errs.Unavailable, nil, err)
}

// refusal reads Java's exception.
func refusal(resp *http.Response) error {
	var doc struct {
		RemoteException struct{ Exception, JavaClassName, Message string }
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return passing(err)
	}
	if json.Unmarshal(data, &doc) != nil || doc.RemoteException.JavaClassName == "" {
		kind := errs.Other
		switch resp.StatusCode {
		case http.StatusNotFound: // as Hadoop's RPC answers, and any web server
			return errs.Errorf("client.send", errs.Unsupported, nil,
				"no WebHDFS is there (%s); a gateway has it at its --http address", resp.Status)
		case http.StatusUnauthorized, http.StatusForbidden:
			kind = errs.Permission
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
			kind = errs.Unavailable
		}
		return errs.Errorf("client.send", kind, nil, "the gateway answered %s", resp.Status)
	}
	class, known := namespace.ParseClass(doc.RemoteException.JavaClassName)
	message := doc.RemoteException.Message
	if !known {
		message = doc.RemoteException.Exception + ": " + message
	}
	return &namespace.Error{Class: class, Message: message}
}

// dataURL tells where the data part of an operation is.
// The gateway is both parts in one; once that is known it is not asked any more.
func (c *Client) dataURL(ctx context.Context, base *url.URL, r request) (*url.URL, error) {
	if c.short.Load() {
		r.query = append(r.query[:len(r.query):len(r.query)], dataPart, base.Host)
		return c.target(base, r), nil
	}
	return c.redirected(ctx, base, r)
}

// redirected asks where the data part of an operation is: the answer to a request without a body is a redirect, and it
// must lead to the same file.
func (c *Client) redirected(ctx context.Context, base *url.URL, r request) (*url.URL, error) {
	resp, err := c.send(ctx, base, r.method, c.target(base, r), "", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return nil, passing(err)
	}
	to, err := resp.Location()
	switch {
	case err != nil || resp.StatusCode != http.StatusTemporaryRedirect:
		return nil, errs.Errorf("client.redirect", errs.Unsupported, nil, "no redirect but %s: this is no WebHDFS",
			resp.Status)
	case to.Path != "/webhdfs/v1"+r.path || to.Scheme != base.Scheme && to.Scheme != "https" || to.User != nil:
		return nil, errs.Errorf("client.redirect", errs.Invalid, nil, "the redirect to %s://%s%s leads elsewhere", to.Scheme,
			to.Host, to.Path)
	}
	if to.Host == base.Host && to.Query().Has(dataPart) {
		c.short.Store(true)
	}
	return to, nil
}

// dataPart is the parameter that tells the data part of an operation.
const dataPart = "namenoderpcaddress"

// newID returns an id for an operation.
func newID() string { return rand.Text() }

// number writes a parameter that is a number.
func number[T ~int64 | ~int | ~uint64](n T) string { return fmt.Sprint(n) }
