package shuffle

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// Options tune a Client.
type Options struct {
	Patience time.Duration // how long a node may be out of reach, or silent, before its output counts as lost; 30 s
	Conns    int           // idle connections kept to each node, 16 by default: as many as are fetched from it at a time
}

func (o Options) withDefaults() Options {
	o.Patience = cmp.Or(o.Patience, 30*time.Second)
	o.Conns = cmp.Or(o.Conns, 16)
	return o
}

// Client fetches segments. It may be used by many goroutines at once.
type Client struct {
	http     *http.Client
	patience time.Duration
}

// NewClient returns a client that keeps connections until Close.
func NewClient(o Options) *Client {
	o = o.withDefaults()
	dialer := &net.Dialer{Timeout: min(5*time.Second, o.Patience)}
	transport := &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: o.Conns, IdleConnTimeout: idle / 2,
		ResponseHeaderTimeout: o.Patience, DisableCompression: true, ReadBufferSize: 256 << 10,
		Protocols: new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	return &Client{http: &http.Client{Transport: transport}, patience: o.Patience}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Source says where a run of partitions is.
type Source struct {
	Node    string // host:port of the server
	Job     scheduler.JobID
	Attempt scheduler.AttemptID
	Lo, Hi  int // partitions Lo to Hi-1
	Secret  string
}

// Fetch copies the partitions to this machine. An error is a *scheduler.InputLost if the source is the reason: it is
// not there, is damaged, or could not be reached for as long as Options.Patience says. Other errors are this side's: a
// full disk, a wrong secret, the end of ctx.
func (c *Client) Fetch(ctx context.Context, src Source, into segment.ReceiveOptions) (*segment.Range, error) {
	f := &fetch{
		from: &served{http: c.http, src: src, path: src.Attempt.String()}, src: src, into: into, patience: c.patience,
	}
	return f.run(ctx)
}

// served is the origin of what a Server has.
type served struct {
	http *http.Client
	src  Source
	path string // of what is fetched, below the job's
	of   string // merged: the attempts
	each int    // merged: how many there are; src has as many partitions for each
}

func (s *served) open(ctx context.Context, from int64) (none segment.Index, _ io.ReadCloser, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(from), nil)
	if err != nil {
		return none, nil, errs.E("shuffle.Fetch", errs.Invalid, s.src.Node, err)
	}
	req.Header.Set("Authorization", "Bearer "+s.src.Secret)
	resp, err := s.http.Do(req)
	if err != nil {
		return none, nil, unsure(errs.Unavailable, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return none, nil, s.refused(resp)
	}
	if from >= 0 {
		return none, resp.Body, nil
	}
	index, err := s.index(resp)
	if err != nil {
		resp.Body.Close()
		return none, nil, err
	}
	return index, resp.Body, nil
}

func (s *served) url(from int64) string {
	each := max(s.each, 1)
	q := url.Values{"lo": {strconv.Itoa(s.src.Lo / each)}, "hi": {strconv.Itoa(s.src.Hi / each)}}
	if s.of != "" {
		q.Set("of", s.of)
	}
	if from >= 0 {
		q.Set("from", strconv.FormatInt(from, 10))
	}
	u := url.URL{
		Scheme: "http", Host: s.src.Node, Path: pathPrefix + string(s.src.Job) + "/" + s.path,
		RawQuery: q.Encode(),
	}
	return u.String()
}

// maxIndexPart bounds the encoded size of one partition in an index.
const maxIndexPart = 3*10 + 4

// index reads the index, which comes first.
func (s *served) index(resp *http.Response) (none segment.Index, _ error) {
	count := s.src.Hi - s.src.Lo
	n, err := strconv.Atoi(resp.Header.Get(indexHeader))
	if err != nil || n < 0 || n > 64+count*maxIndexPart {
		return none, sure(errs.Corrupt, fmt.Errorf("an index of %q bytes for %d partitions",
			resp.Header.Get(indexHeader), count))
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(resp.Body, head); err != nil {
		return none, unsure(errs.Unavailable, err)
	}
	index, err := segment.Parse(head)
	if err != nil {
		return none, sure(errs.Other, err)
	}
	return index, nil
}

// refused makes an error of an answer that is not OK.
func (s *served) refused(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // only for people, and better short than not
	err := fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	switch kind := errs.ParseKind(resp.Header.Get(kindHeader)); kind {
	case errs.NotFound, errs.Corrupt:
		return sure(kind, err)
	case errs.Permission, errs.Invalid:
		return errs.E("shuffle.Fetch", kind, nil, err)
	default: // whatever it is, it is the server's trouble and may pass; what is merged can be had in another way
		return &blamed{errs.E("shuffle.Fetch", errs.Unavailable, nil, err), s.of != ""}
	}
}
