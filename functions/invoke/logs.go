package invoke

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/store"
)

// LogFile is where a host whose folder is dir writes what is said about an invocation.
func LogFile(dir, function string, id ID) string {
	return filepath.Join(dir, "logs", function, string(id)+".log")
}

// LogObject is where a host that keeps logs puts what was said about an invocation that is over.
func LogObject(id ID) store.Name { return keptLogs.Join(string(id)) }

// maxKeeping is how many logs are copied at a time.
const maxKeeping = 16

// shortLog returns what has been said about an invocation, if the journal is to keep it beside the result: most logs
// are a line or two, for which an object of their own costs as much as all the rest.
func (h *Host) shortLog(inv Invocation) []byte {
	if !h.o.KeepLogs {
		return nil
	}
	file, err := os.Open(LogFile(h.o.Dir, inv.Function, inv.ID))
	if err != nil {
		return nil // nothing was said, or keepLog tells
	}
	defer file.Close() // only read
	text, err := io.ReadAll(io.LimitReader(file, maxShortLog+1))
	if err != nil || len(text) > maxShortLog {
		return nil // likewise
	}
	return text
}

// keepLog copies the log of an invocation that is over, if the journal has not all of it: its caller has been answered.
// Who says more after that says it to the host's disk alone.
func (h *Host) keepLog(ctx context.Context, inv Invocation) {
	if !h.o.KeepLogs {
		return
	}
	h.keeping <- struct{}{}
	defer func() { <-h.keeping }()
	text, err := os.ReadFile(LogFile(h.o.Dir, inv.Function, inv.ID))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == len(inv.Log) {
		return
	}
	if err == nil {
		err = store.Put(ctx, h.st, LogObject(inv.ID), text)
	}
	if err != nil {
		h.o.OnError(err) // the disk still has it
	}
}

// forgetLogs removes kept logs again and again, until ctx ends.
func (h *Host) forgetLogs(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := h.sweepLogs(ctx); err != nil {
				h.o.OnError(err)
			}
		}
	}
}

// sweepLogs removes the logs of invocations that the ledger has forgotten.
func (h *Host) sweepLogs(ctx context.Context) error {
	for info, err := range h.st.List(ctx, string(keptLogs)+"/") {
		if err != nil {
			return err
		}
		if _, known := h.ledger.Get(ID(strings.TrimPrefix(string(info.Name), string(keptLogs)+"/"))); known {
			continue
		}
		if err := h.st.Delete(ctx, info.Name); err != nil {
			return err
		}
	}
	return nil
}
