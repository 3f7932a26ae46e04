// Package retry makes calls again that failed with errs.Unavailable: the one place where the project does so for
// storage.
//
// Waits grow from call to call, with jitter, until a bound on the whole. What is done for each call:
//
//	Stat, Delete, uploads     made again as they are
//	Open, Read                opened again at the byte where they broke, and only if it is the same version
//	List, Uploads             listed again, leaving out what was yielded
//	Create, Write, Commit     the bytes are kept until they have arrived and are sent again
//
// So that any object can be written again and memory stays bounded, bytes are kept up to Options.Keep; a larger object
// goes by parts, if the store takes uploads, and each part is kept until it has arrived. In a store that takes none, a
// write beyond Keep is not repeated. A Commit is repeated on the same Writer, which by the contract recognises its own
// earlier success: a lost reply never becomes an errs.Exist. A Delete that is repeated may remove an object that
// somebody created in between.
package retry

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
)

// Options say how patient to be. Zero fields mean the defaults.
type Options struct {
	First  time.Duration // the wait before the first repetition, on average; 50 ms
	Most   time.Duration // the longest wait between two; 5 s
	GiveUp time.Duration // when to stop, counted from the first try; 2 min. The last error is returned

	// Keep is how many bytes of an object are kept to be sent again, store.MinPart or more; 16 MiB. It is also the size
	// of a large object's first parts, of which four are kept at a time.
	Keep int64

	// Notify, if not nil, is told of every failure that will be followed by another try. It must not block.
	Notify func(op string, name store.Name, err error)
}

// Defaults returns the options that zero fields mean.
func Defaults() Options {
	return Options{First: 50 * time.Millisecond, Most: 5 * time.Second, GiveUp: 2 * time.Minute, Keep: 16 << 20}
}

// Store repeats what failed for a passing reason.
type Store struct {
	*around.Store
	inner store.Store
	opts  Options
}

// New returns st with repetitions.
func New(st store.Store, opts Options) *Store {
	d := Defaults()
	opts.First, opts.Most = cmp.Or(opts.First, d.First), cmp.Or(opts.Most, d.Most)
	opts.GiveUp, opts.Keep = cmp.Or(opts.GiveUp, d.GiveUp), max(cmp.Or(opts.Keep, d.Keep), store.MinPart)
	s := &Store{inner: st, opts: opts}
	s.Store = around.New(st, s.hook) // the methods that this file does not have: calls that can simply be made again
	return s
}

func (s *Store) hook(ctx context.Context, c around.Call, do func([]byte) (int, error)) (n int, err error) {
	err = s.again(ctx, c.Op.String(), c.Name, func() error {
		n, err = do(c.Data)
		return err
	})
	return n, err
}

// again calls f until it succeeds, fails for good, or patience or ctx end.
func (s *Store) again(ctx context.Context, op string, name store.Name, f func() error) error {
	return s.repeat(ctx, s.waits(), op, name, f)
}

// waits returns the waits of one call. Its Reset is for calls that get on meanwhile.
func (s *Store) waits() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(s.opts.First), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(s.opts.Most), backoff.WithMaxElapsedTime(s.opts.GiveUp),
	)
}

func (s *Store) repeat(
	ctx context.Context, waits backoff.BackOff, op string, name store.Name, f func() error,
) error {
	var last error
	try := func() error {
		if last = f(); last != nil && !errs.Retryable(last) {
			return backoff.Permanent(last)
		}
		return last
	}
	notify := func(err error, _ time.Duration) {
		if s.opts.Notify != nil {
			s.opts.Notify(op, name, err)
		}
	}
	err := backoff.RetryNotify(try, backoff.WithContext(waits, ctx), notify)
	if err != nil && ctx.Err() != nil && errs.Retryable(last) {
		return errs.Errorf("retry."+op, errs.Canceled, name, "%w; the last try: %v", ctx.Err(), last)
	}
	return err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return list(ctx, s, around.List, prefix, s.inner.List, func() func(store.Info) bool {
		var last store.Name
		return func(info store.Info) bool {
			isNew := info.Name > last
			last = max(last, info.Name)
			return isNew
		}
	})
}

// Uploads implements store.Multipart.
func (s *Store) Uploads(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	m, ok := store.MultipartOf(s.inner)
	if !ok {
		return s.Store.Uploads(ctx, prefix) // which says so
	}
	return list(ctx, s, around.Uploads, prefix, m.Uploads, func() func(store.Upload) bool {
		seen := map[string]bool{}
		return func(u store.Upload) bool {
			isNew := !seen[u.ID]
			seen[u.ID] = true
			return isNew
		}
	})
}

// list yields what inner lists, and lists again after a failure, leaving out what was yielded: news makes a function
// that says of an item whether it is new.
func list[T any](
	ctx context.Context, s *Store, op around.Op, prefix string,
	inner func(context.Context, string) iter.Seq2[T, error], news func() func(T) bool,
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		isNew, waits := news(), s.waits()
		err := s.repeat(ctx, waits, op.String(), store.Name(prefix), func() error {
			for item, err := range inner(ctx, prefix) {
				if err != nil {
					return err
				}
				if !isNew(item) {
					continue
				}
				if !yield(item, nil) {
					return nil
				}
				waits.Reset()
			}
			return nil
		})
		if err != nil {
			yield(*new(T), err)
		}
	}
}
