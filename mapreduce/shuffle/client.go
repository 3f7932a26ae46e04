package shuffle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// Options tune a Client.
type Options struct {
	Patience time.Duration // how long a node may be out of reach, or silent, before its output counts as lost; 30 s
	Conns    int           // idle connections kept to each node, 16 by default: as many as are fetched from it at a time
}

// Client fetches segments. It may be used by many goroutines at once.
type Client struct {
	http     *http.Client
	patience time.Duration
}

// NewClient returns a client that keeps connections until Close.
func NewClient(o Options) *Client {
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Conns == 0 {
		o.Conns = 16
	}
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
	const op = "shuffle.Fetch"
	f := &fetch{client: c, src: src, into: into}
	defer f.abort()
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(3*time.Second), backoff.WithMaxElapsedTime(c.patience))
	before := int64(-1)
	err := backoff.Retry(func() error {
		err := f.attempt(ctx)
		if got := f.received(); got > before { // it gets on
			before = got
			policy.Reset()
		}
		var b *blamed
		if err != nil && (!errors.As(err, &b) || b.sure) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(policy, ctx))
	if err == nil {
		return f.receiver.Finish()
	}
	if ctx.Err() != nil {
		return nil, errs.E(op, errs.Canceled, nil, context.Cause(ctx))
	}
	var b *blamed
	isBlamed := errors.As(err, &b)
	err = errs.E(op, errs.Other, fmt.Sprintf("%s from %s", src.Attempt, src.Node), err)
	if isBlamed {
		return nil, &scheduler.InputLost{Attempt: src.Attempt, Sure: b.sure, Err: err}
	}
	return nil, err
}

// blamed is an error whose reason lies with the source or on the way to it.
type blamed struct {
	error
	sure bool // another try will end the same way
}

func (b *blamed) Unwrap() error { return b.error }

func unsure(kind errs.Kind, err error) error {
	return &blamed{errs.E("shuffle.Fetch", kind, nil, err), false}
}
func sure(kind errs.Kind, err error) error {
	return &blamed{errs.E("shuffle.Fetch", kind, nil, err), true}
}

// fetch is one Fetch under way.
type fetch struct {
	client   *Client
	src      Source
	into     segment.ReceiveOptions
	receiver *segment.Receiver // nil until the index is here
	damaged  int               // how often bytes arrived that were not what the index says
}

func (f *fetch) received() int64 {
	if f.receiver == nil {
		return -1
	}
	return f.receiver.Received()
}

func (f *fetch) abort() {
	if f.receiver != nil {
		f.receiver.Abort()
	}
}

// attempt goes on from where the last one ended. Another one is worth it if the error is blamed and not sure.
func (f *fetch) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url(), nil)
	if err != nil {
		return errs.E("shuffle.Fetch", errs.Invalid, f.src.Node, err)
	}
	req.Header.Set("Authorization", "Bearer "+f.src.Secret)
	resp, err := f.client.http.Do(req)
	if err != nil {
		return unsure(errs.Unavailable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refused(resp)
	}
	silent := time.AfterFunc(f.client.patience, cancel)
	defer silent.Stop()
	body := &watched{resp.Body, silent, f.client.patience}
	if f.receiver == nil {
		if err := f.begin(resp, body); err != nil {
			return err
		}
	}
	return f.copy(body)
}

func (f *fetch) url() string {
	q := url.Values{"lo": {strconv.Itoa(f.src.Lo)}, "hi": {strconv.Itoa(f.src.Hi)}}
	if f.receiver != nil {
		q.Set("from", strconv.FormatInt(f.receiver.Received(), 10))
	}
	u := url.URL{
		Scheme: "http", Host: f.src.Node, Path: pathPrefix + string(f.src.Job) + "/" + f.src.Attempt.String(),
		RawQuery: q.Encode(),
	}
	return u.String()
}

// maxIndexPart bounds the encoded size of one partition in an index.
const maxIndexPart = 3*10 + 4

// begin reads the index, which comes first.
func (f *fetch) begin(resp *http.Response, body io.Reader) error {
	count := f.src.Hi - f.src.Lo
	n, err := strconv.Atoi(resp.Header.Get(indexHeader))
	if err != nil || n < 0 || n > 64+count*maxIndexPart {
		return sure(errs.Corrupt, fmt.Errorf("an index of %q bytes for %d partitions", resp.Header.Get(indexHeader), count))
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(body, head); err != nil {
		return unsure(errs.Unavailable, err)
	}
	index, err := segment.Parse(head)
	if err != nil {
		return sure(errs.Other, err)
	}
	if index.First != f.src.Lo || len(index.Parts) != count {
		return sure(errs.Corrupt, fmt.Errorf("%d partitions from %d came, %d from %d were asked for",
			len(index.Parts), index.First, count, f.src.Lo))
	}
	f.receiver, err = segment.NewReceiver(index, f.into)
	return err
}

// copy hands the body to the receiver, and tells trouble of the network from trouble of the receiver. Bytes that differ
// from their checksum are asked for once more, since they may have been altered on their way; the second time the
// source itself is damaged.
func (f *fetch) copy(body io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, readErr := body.Read(buf)
		if n > 0 {
			_, err := f.receiver.Write(buf[:n])
			switch {
			case errs.KindOf(err) == errs.Corrupt:
				f.receiver.Rewind()
				f.damaged++
				return &blamed{err, f.damaged > 1}
			case err != nil:
				return err
			}
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return unsure(errs.Unavailable, readErr)
		}
	}
}

// refused makes an error of an answer that is not OK.
func refused(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // only for people, and better short than not
	err := fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	switch kind := errs.ParseKind(resp.Header.Get(kindHeader)); kind {
	case errs.NotFound, errs.Corrupt:
		return sure(kind, err)
	case errs.Permission, errs.Invalid:
		return errs.E("shuffle.Fetch", kind, nil, err)
	default: // whatever it is, it is the server's trouble and may pass
		return unsure(errs.Unavailable, err)
	}
}

// watched is a reader that winds up a timer with every byte that comes.
type watched struct {
	io.Reader
	timer *time.Timer
	again time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.timer.Reset(w.again)
	}
	return n, err
}
