package main

import (
	"context"
	"fmt"
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
	storeRead     = "BYTES_READ"
	storeWritten  = "BYTES_WRITTEN"
)

// metered is a Body that counts what each attempt asks of buckets.
type metered struct{ scheduler.Body }

func (m metered) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	var used meter.Count
	data, err := m.Body.Run(meter.With(ctx, &used), a, r)
	for name, n := range map[string]*atomic.Int64{
		storeRequests: &used.Requests, storeRead: &used.Read, storeWritten: &used.Written,
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
	BytesRead    int64   `json:"bytesRead"`   // from there, likewise
	BytesWritten int64   `json:"bytesWritten"`
	USD          float64 `json:"usd,omitempty"` // its share of what the fleet costs; 0 if nobody pays
	PricesOf     string  `json:"pricesOf,omitempty"`
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
		BytesRead: r.Counters.Get(storeGroup, storeRead), BytesWritten: r.Counters.Get(storeGroup, storeWritten),
	}
	dir, err := embedded.HomeDir()
	if err != nil {
		return u
	}
	record, err := infrafleet.Load(dir, f.Name())
	if err != nil || record.Plan == nil || record.Plan.PricesOf.IsZero() {
		return u // it was not deployed from here, or is this machine
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
	u.USD = record.Sized(workers).Plan.Hourly / 3600 * u.CoreSeconds / float64(cores)
	u.PricesOf = record.Plan.PricesOf.Format(time.DateOnly)
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
		line += fmt.Sprintf("; about $%.2g", u.USD)
	}
	return line + "\n"
}
