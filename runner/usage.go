package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// used is what a job has used so far, without what that costs.
func used(r am.Report, now time.Time) client.Usage {
	u := client.Usage{
		CoreSeconds: coreSeconds(r, now), Requests: r.Counters.Get(storeGroup, storeRequests),
		Puts:      r.Counters.Get(storeGroup, storePuts),
		BytesRead: r.Counters.Get(storeGroup, storeRead), BytesWritten: r.Counters.Get(storeGroup, storeWritten),
	}
	if m, ok := summaryOf(r); ok {
		u.Shuffled = m.Totals.SegmentBytes
	}
	return u
}

// usageOf is what a job has used at a place; nil where machines cost nothing by the hour, which is at home. That its
// price can't be found out changes nothing about how the job has ended, so it is left out then.
func usageOf(ctx context.Context, at place, r am.Report) *client.Usage {
	f, ok := at.(*fleet.Fleet)
	if !ok {
		return nil
	}
	u := used(r, time.Now())
	control, err := f.Control()
	if err != nil {
		return &u
	}
	if list, err := control.Nodes(ctx); err == nil {
		bill(&u, list.Nodes, pricesOf(ctx, f))
	}
	return &u
}

// bill adds what a job has cost on a fleet of such machines, of which priced tells what so many workers cost.
func bill(u *client.Usage, nodes []client.Node, priced func(workers int) infrafleet.Record) {
	var workers int
	var cores int64
	for _, n := range nodes {
		if n.State == client.Ready {
			workers++
			cores += n.Total.Cores
		}
	}
	if cores == 0 {
		return
	}
	rec := priced(workers)
	price, ok := rec.Price(infrafleet.Work{
		Hours: u.CoreSeconds / 3600 / float64(cores), Puts: u.Puts, Gets: u.Requests - u.Puts, Moved: u.Shuffled,
	})
	if ok {
		u.Price, u.USD, u.PricesOf = (*client.Price)(&price), price.Total(), rec.Plan.PricesOf.Format(time.DateOnly)
	}
}

// pricesOf returns what tells the price of a fleet by its workers: as the record of this machine has it if the fleet was
// deployed from here, and else as its controls were told.
func pricesOf(ctx context.Context, f *fleet.Fleet) func(workers int) infrafleet.Record {
	if dir, err := embedded.HomeDir(); err == nil {
		if rec, err := infrafleet.Load(dir, f.Name()); err == nil {
			return rec.Sized
		}
	}
	told, err := toldFleet{f.Jobs().Store, f.Name()}.Fleet(ctx)
	if err != nil {
		told = client.Fleet{} // without prices
	}
	return toldPrices(told)
}

// toldPrices tells the price of a fleet by its workers, each of which costs its part of the fleet that was told of.
func toldPrices(told client.Fleet) func(workers int) infrafleet.Record {
	return func(workers int) infrafleet.Record {
		if told.Workers == 0 {
			return infrafleet.Record{}
		}
		hourly := told.Hourly * float64(workers) / float64(told.Workers)
		return infrafleet.Record{Plan: &infrafleet.Plan{Hourly: hourly, PricesOf: told.PricesOf}}
	}
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

// unused reports whether there is no usage that people would see as more than zeros: that of a job that waits, say.
func unused(u *client.Usage) bool {
	return u == nil || u.CoreSeconds < 0.05 && u.Requests == 0 && u.Shuffled == 0
}

// usageLine is a usage as people read it, with its line's end; nothing of none.
func usageLine(u *client.Usage) string {
	if unused(u) {
		return ""
	}
	line := fmt.Sprintf("Used: %.1f core-seconds, %s read and %s written in %s", u.CoreSeconds, format.Bytes(u.BytesRead),
		format.Bytes(u.BytesWritten), format.Plural(u.Requests, "request"))
	if u.USD > 0 {
		line += "; about " + dollars(u.USD)
	}
	return line + "\n"
}

// usageTable is a usage with what each part of it has cost; nothing of none.
func usageTable(u *client.Usage) string {
	if unused(u) {
		return ""
	}
	var b strings.Builder
	price := cmp.Or(u.Price, &client.Price{})
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

// dollars is an amount of which two digits count, or all whole ones.
func dollars(usd float64) string {
	switch {
	case usd == 0:
		return "free"
	case usd >= 10:
		return "$" + format.Count(int64(math.Round(usd)))
	}
	return fmt.Sprintf("$%.2g", usd)
}
