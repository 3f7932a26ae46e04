// Package client asks a fleet's control over HTTP: it is the API that /v1/openapi.json describes, as Go functions.
//
//	c := client.New(client.Options{URL: "https://10.0.0.7:7338", Token: os.Getenv("RUNNER_TOKEN")})
//	job, err := c.Submit(ctx, client.Submission{Key: "tonight", Spec: spec})
//
// Errors are problems of the API with their kind (errs.KindOf) and their sentence. What fails for a passing reason, as
// while one leader follows another, is asked again for half a minute; repeating a request does no harm.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Options say whom to ask, and as whom.
type Options struct {
	URL string // https://HOST:PORT of any control
	// Where says whom to ask instead, and is asked each time; nil: URL.
	Where    func(ctx context.Context) (string, error)
	Token    string
	HTTP     *http.Client  // nil: http.DefaultClient
	Patience time.Duration // how long what fails for a passing reason is repeated; 30 s
}

// Client asks. Its methods may be called by many goroutines at once.
type Client struct{ o Options }

// New returns a client. It asks nothing yet.
func New(o Options) *Client {
	if o.Where == nil {
		o.Where = func(context.Context) (string, error) { return o.URL, nil }
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	o.Patience = cmp.Or(o.Patience, 30*time.Second)
	return &Client{o}
}

// Queues returns how queues stand, and all who wait in them.
func (c *Client) Queues(ctx context.Context) (list QueueList, err error) {
	list.Jobs, err = collect(ctx, c, "/v1/queues", func(p QueueList) ([]Queued, string) {
		list.Queues, list.Config = p.Queues, p.Config
		return p.Jobs, p.Next
	})
	return list, err
}

// SetQueues replaces the queues.
func (c *Client) SetQueues(ctx context.Context, config queue.Config) (QueueList, error) {
	if err := c.ask(ctx, http.MethodPut, "/v1/queues", config, nil); err != nil {
		return QueueList{}, err
	}
	return c.Queues(ctx)
}

// Nodes returns the machines.
func (c *Client) Nodes(ctx context.Context) (list NodeList, err error) {
	list.Nodes, err = collect(ctx, c, "/v1/nodes", func(p NodeList) ([]Node, string) { return p.Nodes, p.Next })
	return list, err
}

// Cluster returns the fleet as a whole.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	var cluster Cluster
	err := c.ask(ctx, http.MethodGet, "/v1/cluster", nil, &cluster)
	return cluster, err
}

// Tokens returns the tokens, without their texts.
func (c *Client) Tokens(ctx context.Context) (list TokenList, err error) {
	list.Tokens, err = collect(ctx, c, "/v1/tokens", func(p TokenList) ([]Token, string) { return p.Tokens, p.Next })
	return list, err
}

// CreateToken makes a token with a name and a role. Unlike the others it is not to be repeated: each call makes one.
func (c *Client) CreateToken(ctx context.Context, name, role string) (Token, error) {
	var made Token
	err := c.ask(ctx, http.MethodPost, "/v1/tokens", Token{Name: name, Role: role}, &made)
	return made, err
}

// RemoveToken makes a token worthless.
func (c *Client) RemoveToken(ctx context.Context, id string) error {
	return c.ask(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(id), nil, nil)
}

// ask sends a request, again and again while it fails for a passing reason, and reads the answer into into.
func (c *Client) ask(ctx context.Context, method, path string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return errs.E("client.ask", errs.Internal, path, err)
		}
	}
	return c.patiently(ctx, func() error {
		answer, err := c.once(ctx, method, path, text)
		if err != nil || into == nil {
			return err
		}
		if err := json.Unmarshal(answer, into); err != nil {
			return errs.E("client.ask", errs.Corrupt, path, err)
		}
		return nil
	})
}

// patiently repeats what fails for a passing reason.
func (c *Client) patiently(ctx context.Context, do func() error) error {
	return backoff.Retry(func() error {
		err := do()
		if err != nil && (ctx.Err() != nil || !errs.Retryable(err)) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(c.pauses(), ctx))
}

func (c *Client) pauses() backoff.BackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(c.o.Patience))
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 64 << 20

// once asks once, and returns the answer.
func (c *Client) once(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // read to its end, or given up
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, say.Errorf(errs.Unavailable, "the control breaks off: %s", errs.Cause(err))
	}
	return answer, nil
}

// send sends one request. The body of the response, which is no problem, is the caller's to close.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	base, err := c.o.Where(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, errs.E("client.ask", errs.Invalid, base, err)
	}
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		return nil, say.Errorf(errs.Unavailable, "the control at %s does not answer: %s", base, errs.Cause(err))
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close() // read, as far as it is worth it
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	return nil, problem(resp.StatusCode, text)
}

// maxProblem bounds the description of a problem, in bytes.
const maxProblem = 1 << 20

// problem is the error that an answer tells of.
func problem(status int, answer []byte) error {
	var p struct {
		Detail string `json:"detail"`
		Kind   string `json:"kind"`
	}
	if err := json.Unmarshal(answer, &p); err != nil || p.Detail == "" {
		p.Detail = http.StatusText(status) // something between us and the control answers
	}
	kind := errs.ParseKind(p.Kind)
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		kind = errs.Unavailable
	}
	return errs.E("", kind, nil, errors.New(strings.TrimSpace(p.Detail)))
}
