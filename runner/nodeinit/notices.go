package nodeinit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Notices tell a machine that it must end soon: a cloud takes spot machines away, replaces them, or shrinks a fleet.
type Notices interface {
	// Wait waits until there is a notice and returns its reason, or until ctx ends.
	Wait(ctx context.Context) (reason string, err error)
}

// Metadata is the metadata service of EC2, in its second version: every question needs a token, which is asked for
// first. It gives notice in three ways:
//
//	/latest/meta-data/spot/instance-action              the machine is taken away in 120 s
//	/latest/meta-data/events/recommendations/rebalance  it probably will be; another one is started already
//	/latest/meta-data/autoscaling/target-lifecycle-state  "Terminated": the fleet is made smaller
//
// What is not there answers 404.
type Metadata struct {
	address string        // http://169.254.169.254
	every   time.Duration // between two questions
	client  http.Client
	mu      struct {
		sync.Mutex
		token string
		until time.Time
	}
}

// MetadataOptions may be left zero.
type MetadataOptions struct {
	Every time.Duration // between two questions for notices; 5 s, as EC2 advises
}

// NewMetadata returns the service at an address, as http://169.254.169.254.
func NewMetadata(address string, o MetadataOptions) *Metadata {
	return &Metadata{
		address: strings.TrimSuffix(address, "/"), every: cmp.Or(o.Every, 5*time.Second),
		client: http.Client{Timeout: 2 * time.Second},
	}
}

// tokenLife is how long a token is good.
const tokenLife = 6 * time.Hour

// notices are where notice is given; want is in what is answered then.
var notices = []struct{ path, want, reason string }{
	{"/latest/meta-data/spot/instance-action", "time", "the cloud takes the machine away"},
	{"/latest/meta-data/events/recommendations/rebalance", "noticeTime", "the cloud is about to take the machine away"},
	{"/latest/meta-data/autoscaling/target-lifecycle-state", "Terminated", "the fleet is made smaller"},
}

// Wait implements Notices. A service that does not answer is asked again.
func (m *Metadata) Wait(ctx context.Context) (string, error) {
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		for _, n := range notices {
			text, err := m.Get(ctx, n.path)
			if err == nil && strings.Contains(text, n.want) {
				return fmt.Sprintf("%s (%s)", n.reason, strings.TrimSpace(text)), nil
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-tick.C:
		}
	}
}

// Get returns what the service says at a path; what is not there fails with errs.NotFound.
func (m *Metadata) Get(ctx context.Context, path string) (string, error) {
	token, err := m.token(ctx)
	if err != nil {
		return "", err
	}
	text, err := m.ask(ctx, http.MethodGet, path, "X-aws-ec2-metadata-token", token)
	if errs.KindOf(err) == errs.Permission {
		m.mu.Lock()
		m.mu.token = "" // it was forgotten over there
		m.mu.Unlock()
	}
	return text, err
}

// token returns one that is good, asking for it where there is none.
func (m *Metadata) token(ctx context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.token != "" && time.Now().Before(m.mu.until) {
		return m.mu.token, nil
	}
	life := fmt.Sprint(int(tokenLife.Seconds()))
	token, err := m.ask(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", life)
	if err != nil {
		return "", err
	}
	m.mu.token, m.mu.until = token, time.Now().Add(tokenLife/2)
	return token, nil
}

// longestAnswer bounds what the service says, in bytes.
const longestAnswer = 64 << 10

func (m *Metadata) ask(ctx context.Context, method, path, header, value string) (string, error) {
	const op = "nodeinit.Metadata"
	req, err := http.NewRequestWithContext(ctx, method, m.address+path, nil)
	if err != nil {
		return "", errs.E(op, errs.Invalid, path, err)
	}
	req.Header.Set(header, value)
	resp, err := m.client.Do(req)
	if err != nil {
		return "", errs.E(op, errs.Unavailable, path, err)
	}
	defer resp.Body.Close() // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	switch {
	case err != nil:
		return "", errs.E(op, errs.Unavailable, path, err)
	case resp.StatusCode == http.StatusNotFound:
		return "", errs.E(op, errs.NotFound, path, nil)
	case resp.StatusCode == http.StatusUnauthorized:
		return "", errs.E(op, errs.Permission, path, nil)
	case resp.StatusCode != http.StatusOK:
		return "", errs.Errorf(op, errs.Unavailable, path, "it answers %s", resp.Status)
	}
	return string(text), nil
}
