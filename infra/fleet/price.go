package fleet

import (
	_ "embed" // the price table
	"encoding/json"
	"math"
	"slices"
	"sync"
	"time"
)

//go:embed prices.json
var pricesFile []byte

// priceTable holds list prices in USD: on demand in us-east-1, by region a factor, for spot a usual share. A cloud's
// bill is exact, this is what one decides by; so the day of the table is always told with it.
type priceTable struct {
	Date         string             `json:"date"`
	Regions      map[string]float64 `json:"regions"`
	Spot         float64            `json:"spot"`
	AddressHour  float64            `json:"address_hour"`   // of each machine's public address
	DiskGiBMonth float64            `json:"disk_gib_month"` // gp3
	MillionPuts  float64            `json:"million_puts"`   // requests to object storage that write or list
	MillionGets  float64            `json:"million_gets"`   // those that read
	ZonesGB      float64            `json:"zones_gb"`       // from a machine to one of another zone, both ways paid
	Instances    map[string]float64 `json:"instances"`      // an hour
}

// hoursOfMonth are what clouds count as a month.
const hoursOfMonth = 730

// serverDiskGiB is the disk of a server, which keeps Nomad's and Consul's own state.
const serverDiskGiB = 20

var prices = sync.OnceValue(func() (t priceTable) {
	if err := json.Unmarshal(pricesFile, &t); err != nil {
		panic("fleet: the embedded price table: " + err.Error())
	}
	return t
})

// price fills in what a plan costs. The dearest of the workers' types counts, since any may be got.
func (p *Plan) price(r Request, now time.Time) {
	t := prices()
	factor := t.Regions[r.Region]
	if factor == 0 {
		p.Unpriced = append(p.Unpriced, r.Region)
	}
	p.PricesOf, _ = time.Parse(time.DateOnly, t.Date) // a test reads the same table
	for i := range p.Groups {
		g := &p.Groups[i]
		types, disk := []string{r.ServerType}, serverDiskGiB
		if g.Role == Worker {
			types, disk = r.WorkerTypes, r.DiskGiB
		}
		one := 0.0
		for _, name := range types {
			price, known := t.Instances[name]
			if !known && !slices.Contains(p.Unpriced, name) {
				p.Unpriced = append(p.Unpriced, name)
			}
			one = math.Max(one, price)
		}
		rest := t.AddressHour + factor*float64(disk)*t.DiskGiBMonth/hoursOfMonth
		full := factor*one + rest
		g.Hourly = float64(g.OnDemand)*full + float64(g.Spot)*(factor*one*t.Spot+rest)
		p.Hourly += g.Hourly
		p.HourlyMost += float64(max(g.Count, g.Most)) * full
	}
	p.Total = p.Hourly * p.ExpiresAt.Sub(now).Hours()
}

// Cost is what a fleet has cost so far, by the price table.
type Cost struct {
	Since    time.Time     `json:"since"`
	Until    time.Time     `json:"until"` // now, or when the machines were gone
	Running  time.Duration `json:"running"`
	USD      float64       `json:"usd"`
	Hourly   float64       `json:"hourly"` // 0 when nothing runs
	PricesOf time.Time     `json:"prices_of,omitzero"`
}

// Cost estimates what the fleet has cost up to now: the plan's price for as long as machines could run. What was scaled
// counts as if it had always been as it is.
func (r Record) Cost(now time.Time) Cost {
	c := Cost{Since: r.Deployed, Until: now}
	if r.Plan == nil || r.Deployed.IsZero() {
		return c
	}
	c.PricesOf = r.Plan.PricesOf
	for _, end := range []time.Time{r.ExpiresAt, r.Ended} {
		if !end.IsZero() && end.Before(c.Until) {
			c.Until = end
		}
	}
	if c.Until.Equal(now) {
		c.Hourly = r.Plan.Hourly
	}
	c.Running = max(0, c.Until.Sub(c.Since))
	c.USD = r.Plan.Hourly * c.Running.Hours()
	return c
}

// Work is what some work has used of a fleet.
type Work struct {
	Hours      float64 // of the whole fleet: half of its cores for an hour is 0.5
	Puts, Gets int64   // requests to object storage: those that write or list, and others
	Moved      int64   // bytes from machine to machine
}

// Price is what some work has cost, in USD.
type Price struct {
	Machines float64 `json:"machines"`
	Requests float64 `json:"requests"`
	Moved    float64 `json:"moved"`
}

// Total is all of it.
func (p Price) Total() float64 { return p.Machines + p.Requests + p.Moved }

// otherZones is the part of what machines send each other that goes to another zone, since they are spread over three.
const otherZones = 2.0 / 3

// Price estimates what work on a fleet has cost; ok is false if nobody pays for it. To and from object storage of the
// same region bytes are free.
func (r Record) Price(w Work) (p Price, ok bool) {
	if r.Plan == nil || r.Plan.PricesOf.IsZero() {
		return p, false
	}
	t := prices()
	return Price{
		Machines: r.Plan.Hourly * w.Hours,
		Requests: (float64(w.Puts)*t.MillionPuts + float64(w.Gets)*t.MillionGets) / 1e6,
		Moved:    float64(w.Moved) / 1e9 * otherZones * t.ZonesGB,
	}, true
}

// Sized is the record of a fleet that grows by itself as it is with so many workers, for its cost; of another fleet it
// is the record as it is.
func (r Record) Sized(workers int) Record {
	if r.Plan == nil || r.Plan.PricesOf.IsZero() || !r.Request.Elastic() {
		return r
	}
	r.Request.Workers = workers
	p := Plan{Groups: groups(r.Request), ExpiresAt: r.ExpiresAt}
	p.price(r.Request, r.Deployed)
	r.Plan = &p
	return r
}
