package fleet

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Request is the fleet that somebody wants.
type Request struct {
	Name        string        `json:"name"`
	Provider    string        `json:"provider"` // "aws" or "local", for those who read the record
	Region      string        `json:"region,omitempty"`
	Owner       string        `json:"owner"`   // who to ask about it; a tag
	Servers     int           `json:"servers"` // 1, 3 or 5
	ServerType  string        `json:"server_type,omitempty"`
	Workers     int           `json:"workers"`                // 0 to 1000
	WorkerTypes []string      `json:"worker_types,omitempty"` // instance types, any of which will do
	Spot        float64       `json:"spot"`                   // share of the workers that may be spot, 0 to 1
	TTL         time.Duration `json:"ttl"`                    // MinTTL to MaxTTL
	Idle        time.Duration `json:"idle,omitempty"`         // without a job for that long the fleet ends; 0 never
	DiskGiB     int           `json:"disk_gib,omitempty"`     // of each worker
	// Driver is Nomad's, by which containers of jobs are started: "exec" or "raw_exec"; "" means exec.
	Driver string `json:"driver,omitempty"`
	// AllowFrom are the networks (CIDR) from which the servers can be reached; none means from inside alone.
	AllowFrom []string `json:"allow_from,omitempty"`
	// Binaries are programs that machines fetch at boot: name to path on this machine. "runner" must be one of them.
	Binaries map[string]string `json:"binaries,omitempty"`
	// Sums are the SHA-256 of Binaries, in hexadecimal. Plan sets them.
	Sums map[string]string `json:"sums,omitempty"`
	Arch Arch              `json:"arch"`         // what Binaries and so all machines are made for
	CA   string            `json:"ca,omitempty"` // certificate of who vouches for the servers, PEM

	// Min and Max are between what the fleet grows and shrinks by itself; Max 0: it has Workers. Else Workers is Min.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
	// Cooldown is how long a worker has nothing to do before it ends, in a fleet that shrinks by itself; 0: 2 minutes.
	Cooldown time.Duration `json:"cooldown,omitempty"`

	// Wakes are when the cloud starts the fleet's machines while none runs. Plan keeps those that there are; Fleet.Wake
	// changes them.
	Wakes []Wake `json:"wakes,omitempty"`

	// RunID tells the fleet from those that had its name before; it is on everything. Plan sets it.
	RunID string `json:"run_id,omitempty"`
	// ExpiresAt is when the dead-man switch fires. Plan sets it, from TTL and the deadline that the fleet has.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Wake is a moment that comes again and again, for a schedule of that name.
type Wake struct {
	Name string `json:"name"`
	Cron string `json:"cron"` // five fields as crontab has them
	Zone string `json:"zone"` // of the IANA database
}

// Arch is a kind of processor, in Go's words.
type Arch string

// The architectures of machines.
const (
	AMD Arch = "amd64"
	ARM Arch = "arm64"
)

// Bounds of what can be asked for. A fleet that lives longer than a week is not a fleet to be forgotten about.
const (
	MinTTL     = 15 * time.Minute
	MaxTTL     = 7 * 24 * time.Hour
	MaxWorkers = 1000
)

// Defaults returns the request with what was left empty filled in.
func (r Request) Defaults() Request {
	if r.Arch == "" {
		r.Arch = AMD
	}
	if r.Servers == 0 {
		r.Servers = 3
	}
	if r.ServerType == "" {
		r.ServerType = "t3.small"
	}
	if len(r.WorkerTypes) == 0 {
		r.WorkerTypes = []string{"m6i.xlarge"}
	}
	if r.TTL == 0 {
		r.TTL = 4 * time.Hour
	}
	if r.DiskGiB == 0 {
		r.DiskGiB = 50
	}
	if r.Elastic() {
		r.Workers = r.Min
	}
	return r
}

// Elastic reports whether the fleet grows and shrinks by itself.
func (r Request) Elastic() bool { return r.Max > 0 }

// Most is how many workers there may be.
func (r Request) Most() int { return max(r.Workers, r.Max) }

// size is how many workers a fleet is to be given that has some.
func (r Request) size(has int) int {
	if r.Elastic() {
		return min(max(has, r.Min), r.Max)
	}
	return r.Workers
}

// OnDemand returns how many of n workers are paid in full when a share of them may be spot.
func OnDemand(n int, spot float64) int {
	// 8 workers of which 0.7 may be spot: 5.6 may, so 2 are on demand, not 3; 1e-9 forgives 0.3*10 = 3.0000000004.
	return int(math.Floor(float64(n)*(1-spot) + 1e-9))
}

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,29}[a-z0-9]$`)
	armPattern  = regexp.MustCompile(`^[a-z]+[0-9]+g|^a1\.`) // Graviton: m6g, c7gn, t4g
	typePattern = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
)

func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return invalid("%q can't be the name of a cluster: 2 to 31 letters a-z, digits and dashes, a letter first", name)
	}
	return nil
}

// Validate returns errs.Invalid with one sentence if the request can't be granted anywhere.
func (r Request) Validate() error {
	if err := checkName(r.Name); err != nil {
		return err
	}
	switch {
	case r.Servers != 1 && r.Servers != 3 && r.Servers != 5:
		return invalid("%d servers can't agree on anything; choose 1, 3 or 5", r.Servers)
	case r.Workers < 0 || r.Workers > MaxWorkers:
		return invalid("%d workers: 0 to %d are possible", r.Workers, MaxWorkers)
	case r.Min < 0 || r.Max > MaxWorkers || r.Max < r.Min:
		return invalid("from %d to %d workers: 0 to %d are possible, and the most is not less than the least", r.Min, r.Max,
			MaxWorkers)
	case r.Cooldown < 0:
		return invalid("a worker can't have nothing to do for %v", r.Cooldown)
	case !(r.Spot >= 0 && r.Spot <= 1):
		return invalid("a share of %g of the workers can't be spot: 0 to 1 is possible", r.Spot)
	case r.TTL < MinTTL || r.TTL > MaxTTL:
		return invalid("a fleet can't live %v: %v to %v are possible", r.TTL, MinTTL, MaxTTL)
	case r.Idle != 0 && r.Idle < time.Minute:
		return invalid("an idle time of %v would end the fleet before a job comes: 1m is the least", r.Idle)
	case r.Driver != "" && r.Driver != "exec" && r.Driver != "raw_exec":
		return invalid("containers are started by exec or raw_exec, not by %q", r.Driver)
	case r.DiskGiB < 8 || r.DiskGiB > 16384:
		return invalid("a disk of %d GiB: 8 to 16384 are possible", r.DiskGiB)
	}
	for _, t := range append([]string{r.ServerType}, r.WorkerTypes...) {
		if !typePattern.MatchString(t) {
			return invalid("%q is not an instance type, as m6i.xlarge is one", t)
		}
		if arm := armPattern.MatchString(t); arm != (r.Arch == ARM) {
			return invalid("%s has another processor than the programs are made for, %s", t, r.Arch)
		}
	}
	return r.validateAccess()
}

func (r Request) validateAccess() error {
	for _, from := range r.AllowFrom {
		p, err := netip.ParsePrefix(from)
		if err != nil {
			return invalid("%q is not a network, as 203.0.113.7/32 is one", from)
		}
		if p.Bits() < 8 {
			return invalid("%s is nearly everybody; name the networks that need to reach the servers", from)
		}
	}
	return nil
}

// invalid makes an error whose text is the whole sentence.
func invalid(format string, args ...any) error {
	return errs.E("", errs.Invalid, nil, fmt.Errorf(format, args...))
}
