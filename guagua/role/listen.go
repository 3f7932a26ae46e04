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
	for {
		f := w.receive(l)
		f.session = session
		select {
		case w.frames <- f:
		case <-ctx.Done():
			f.content.release()
			return
		}
		if f.err != nil {
			return
		}
	}
}

// receive reads one whole message.
func (w *worker) receive(l link.Link) frame {
	var buf []byte
	for next := int64(0); ; {
		h, err := l.Read()
		if err != nil {
			return frame{err: err}
		}
		if h.Offset == 0 { // what came before was not sent to its end
			if h.Total > w.job.Largest {
				return frame{err: errs.Errorf("guagua.Receive", errs.Corrupt, h.Kind, "%d bytes", h.Total)}
			}
			if next = 0; int64(len(buf)) != h.Total {
				buf = w.room(h)
			}
		}
		if h.Offset != next || h.Offset+int64(h.Length) > int64(len(buf)) {
			return frame{err: errs.Errorf("guagua.Receive", errs.Corrupt, h.Kind, "piece at %d, want %d", h.Offset, next)}
		}
		next += int64(h.Length)
		if err := l.Body(buf[h.Offset:next]); err != nil {
			return frame{err: err}
		}
		if !h.Last() {
			continue
		}
		if h.Kind == wire.Announce && h.Flags&wire.Content != 0 {
			return frame{head: h, content: w.results.wrap(h.Point(), buf)}
		}
		return frame{head: h, body: buf}
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
