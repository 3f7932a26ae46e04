package shuffle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// origin is where a run of partitions comes from.
type origin interface {
	// open returns the bytes of the partitions without the first so many, and their index if from is negative: then all
	// bytes follow. An error is *blamed if its reason lies with the source or on the way to it.
	open(ctx context.Context, from int64) (segment.Index, io.ReadCloser, error)
}

// fetch is one Fetch under way.
type fetch struct {
	from     origin
	src      Source
	into     segment.ReceiveOptions
	patience time.Duration
	receiver *segment.Receiver // nil until the index is here
	length   int64             // of all partitions
	damaged  int               // how often bytes arrived that were not what the index says
}

// run does all of it.
func (f *fetch) run(ctx context.Context) (*segment.Range, error) {
	const op = "shuffle.Fetch"
	defer f.abort()
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(3*time.Second), backoff.WithMaxElapsedTime(f.patience))
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
	err = errs.E(op, errs.Other, fmt.Sprintf("%s from %s", f.src.Attempt, f.src.Node), err)
	if isBlamed {
		return nil, &scheduler.InputLost{Attempt: f.src.Attempt, Sure: b.sure, Err: err}
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
	silent := time.AfterFunc(f.patience, cancel)
	defer silent.Stop()
	index, body, err := f.from.open(ctx, f.received())
	if err != nil {
		return err
	}
	defer body.Close()
	if f.receiver == nil {
		if err := f.begin(index); err != nil {
			return err
		}
	}
	if err := f.copy(&watched{body, silent, f.patience}); err != nil {
		return err
	}
	if left := f.length - f.received(); left > 0 {
		return sure(errs.Corrupt, fmt.Errorf("the last %d bytes are missing", left))
	}
	return nil
}

func (f *fetch) begin(index segment.Index) (err error) {
	if count := f.src.Hi - f.src.Lo; index.First != f.src.Lo || len(index.Parts) != count {
		return sure(errs.Corrupt, fmt.Errorf("%d partitions from %d came, %d from %d were asked for",
			len(index.Parts), index.First, count, f.src.Lo))
	}
	_, f.length = index.Span()
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
			return read(readErr)
		}
	}
}

// read blames the source, or the way to it, for an error in the middle of the bytes.
func read(err error) error {
	switch kind := errs.KindOf(err); kind {
	case errs.NotFound, errs.Corrupt:
		return sure(kind, err)
	}
	return unsure(errs.Unavailable, err)
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
