package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	infrafleet "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/store/meter"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// What a job's attempts have asked of buckets is in these counters.
const (
	storeGroup    = "Store"
	storeRequests = "REQUESTS"
	storePuts     = "PUTS"
	storeRead     = "BYTES_READ"
	storeWritten  = "BYTES_WRITTEN"
)

// metered is a Body that counts what each attempt asks of buckets.
type metered struct{ scheduler.Body }

func (m metered) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	var used meter.Count
	data, err := m.Body.Run(meter.With(ctx, &used), a, r)
	for name, n := range map[string]*atomic.Int64{
		storeRequests: &used.Requests, storePuts: &used.Puts, storeRead: &used.Read, storeWritten: &used.Written,
	} {
		if n.Load() > 0 {
			r.Count(storeGroup, name, n.Load())
		}
	}
	return data, err
}

// usage is what a job has used of a fleet.
type usage struct {
	CoreSeconds  float64 `json:"coreSeconds"` // of all attempts, also of those that failed
	Requests     int64   `json:"requests"`    // to object storage, of the attempts whose results were taken
	Puts         int64   `json:"puts"`        // those of them that write or list
	BytesRead    int64   `json:"bytesRead"`   // from there, likewise
	BytesWritten int64   `json:"bytesWritten"`
	Shuffled     int64   `json:"bytesShuffled"` // from maps to reduces
	// USD is what it has cost, its share of the fleet included; 0 if nobody pays.
	USD      float64           `json:"usd,omitempty"`
	Price    *infrafleet.Price `json:"price,omitempty"` // in parts
	PricesOf string            `json:"pricesOf,omitempty"`
}

// usageOf is what a job has used at a place; nil where machines cost nothing by the hour, which is at home. That its
// price can't be found out changes nothing about how the job has ended, so it is left out then.
func usageOf(ctx context.Context, at place, r am.Report) *usage {
	f, ok := at.(*fleet.Fleet)
	if !ok {
		return nil
	}
	u := &usage{
		CoreSeconds: coreSeconds(r, time.Now()), Requests: r.Counters.Get(storeGroup, storeRequests),
		Puts:      r.Counters.Get(storeGroup, storePuts),
		BytesRead: r.Counters.Get(storeGroup, storeRead), BytesWritten: r.Counters.Get(storeGroup, storeWritten),
	}
	if m, ok := summaryOf(r); ok {
		u.Shuffled = m.Totals.SegmentBytes
	}
	dir, err := embedded.HomeDir()
	if err != nil {
		return u
	}
	record, err := infrafleet.Load(dir, f.Name())
	if err != nil {
		return u // it was not deployed from here
	}
	control, err := f.Control()
	if err != nil {
		return u
	}
	list, err := control.Nodes(ctx)
	var workers int
	var cores int64
	for _, n := range list.Nodes {
		if n.State == client.Ready {
			workers++
			cores += n.Total.Cores
		}
	}
	if err != nil || cores == 0 {
		return u
	}
	price, ok := record.Sized(workers).Price(infrafleet.Work{
		Hours: u.CoreSeconds / 3600 / float64(cores), Puts: u.Puts, Gets: u.Requests - u.Puts, Moved: u.Shuffled,
	})
	if ok {
		u.Price, u.USD, u.PricesOf = &price, price.Total(), record.Plan.PricesOf.Format(time.DateOnly)
	}
	return u
}

// coreSeconds is for how long cores have worked on attempts, each of which has one.
func coreSeconds(r am.Report, now time.Time) float64 {
	var all time.Duration
	for _, a := range r.Attempts {
		end := a.End
		if end.IsZero() {
			end = now
		}
		all += max(0, end.Sub(a.Start))
	}
	return all.Seconds()
}

// line is a usage as people read it, with its line's end; nothing of none.
func (u *usage) line() string {
	if u == nil {
		return ""
	}
	line := fmt.Sprintf("Used: %.1f core-seconds, %s read and %s written in %s", u.CoreSeconds, format.Bytes(u.BytesRead),
		format.Bytes(u.BytesWritten), format.Plural(u.Requests, "request"))
	if u.USD > 0 {
		line += "; about " + dollars(u.USD)
	}
	return line + "\n"
}

// table is a usage with what each part of it has cost; nothing of none.
func (u *usage) table() string {
	if u == nil {
		return ""
	}
	var b strings.Builder
	price := cmp.Or(u.Price, &infrafleet.Price{})
	row := func(what, amount string, usd float64) {
		cost := ""
		if u.Price != nil {
			cost = dollars(usd)
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("  %-9s %20s %10s", what, amount, cost), " "))
	}
	row("used", fmt.Sprintf("%.1f core-seconds", u.CoreSeconds), price.Machines)
	row("read", format.Bytes(u.BytesRead), 0)
	row("written", format.Bytes(u.BytesWritten), 0)
	row("shuffled", format.Bytes(u.Shuffled), price.Moved)
	row("asked for", format.Plural(u.Requests, "request"), price.Requests)
	if u.Price != nil {
		fmt.Fprintf(&b, "  %-9s %20s %10s  by prices of %s\n", "about", "", dollars(u.USD), u.PricesOf)
	}
	return b.String()
}

// dollars is an amount of which two digits count.
func dollars(usd float64) string {
	if usd == 0 {
		return "free"
	}
	return fmt.Sprintf("$%.2g", usd)
}
