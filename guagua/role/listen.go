package role

import (
	"context"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// This file is what a worker hears: its master's frames, and who its master is.

// listen gathers messages and gives them to the loop, until the link breaks.
func (w *worker) listen(ctx context.Context, l link.Link, session int) {
	tell := func(f frame) bool {
		f.session = session
		select {
		case w.frames <- f:
			return f.err == nil
		case <-ctx.Done():
			f.content.release()
			return false
		}
	}
	for tell(w.receive(l, func(early frame) { tell(early) })) {
	}
}

// receive reads one whole message. Of one that is for this worker's group it tells early, when its first piece comes.
func (w *worker) receive(l link.Link, tell func(early frame)) frame {
	var buf []byte
	var passed *payload // told of early
	broken := func(err error) frame {
		passed.stop()
		return frame{err: err}
	}
	for next := int64(0); ; {
		h, err := l.Read()
		if err != nil {
			return broken(err)
		}
		content := h.Kind == wire.Announce && h.Flags&wire.Content != 0
		if h.Offset == 0 { // what came before was not sent to its end
			if h.Total > w.job.Largest {
				return broken(errs.Errorf("guagua.Receive", errs.Corrupt, h.Kind, "%d bytes", h.Total))
			}
			if next = 0; int64(len(buf)) != h.Total || passed != nil {
				buf = w.room(h)
			}
			passed.stop()
			if passed = nil; content && h.Flags&wire.Group != 0 && w.group != nil {
				passed = w.results.wrap(h.Point(), buf)
				passed.message = wire.NewGrowing(buf)
				tell(frame{head: h, content: passed.hold(), early: true})
			}
		}
		if h.Offset != next || h.Offset+int64(h.Length) > int64(len(buf)) {
			return broken(errs.Errorf("guagua.Receive", errs.Corrupt, h.Kind, "piece at %d, want %d", h.Offset, next))
		}
		next += int64(h.Length)
		if err := l.Body(buf[h.Offset:next]); err != nil {
			return broken(err)
		}
		passed.grow(next, h.Last())
		switch {
		case !h.Last():
		case passed != nil:
			return frame{head: h, content: passed}
		case content:
			return frame{head: h, content: w.results.wrap(h.Point(), buf)}
		default:
			return frame{head: h, body: buf}
		}
	}
}

// room returns a buffer for a message.
func (w *worker) room(h wire.Header) []byte {
	if h.Kind == wire.Announce {
		return w.results.sized(h.Total)
	}
	return make([]byte, h.Total)
}

// watch tells the loop who the master is, whenever that changes.
func (w *worker) watch(ctx context.Context) {
	follow(ctx, w.job.Coord, Key(w.job.ID), func(n notice) {
		select {
		case w.notices <- n:
		case <-ctx.Done():
		}
	})
}
