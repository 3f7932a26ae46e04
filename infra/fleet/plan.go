package fleet

import (
	"time"
)

// Plan is what Apply would do, in numbers. It is made by Fleet.Plan and PlanDestroy alone, which leave Terraform's own
// plan in the fleet's folder; Apply applies exactly that one, or fails if it was made over or the world has moved on.
type Plan struct {
	ID        string    `json:"id"` // of the saved plan
	Cluster   string    `json:"cluster"`
	Provider  string    `json:"provider"`
	Region    string    `json:"region,omitempty"`
	Account   string    `json:"account,omitempty"`
	Bucket    string    `json:"bucket,omitempty"`
	Destroys  bool      `json:"destroys,omitempty"` // a plan to end the fleet
	Purges    bool      `json:"purges,omitempty"`   // its data included
	Groups    []Group   `json:"groups"`
	ExpiresAt time.Time `json:"expires_at"`

	// In USD, from the price table of PricesOf; all 0 where nobody pays.
	Hourly     float64   `json:"hourly"`             // at the usual price of spot machines
	HourlyMost float64   `json:"hourly_most"`        // if spot cost as much as on demand, which is its limit
	Total      float64   `json:"total"`              // Hourly until ExpiresAt
	PricesOf   time.Time `json:"prices_of,omitzero"` // the day of the table
	Unpriced   []string  `json:"unpriced,omitempty"` // instance types that the table lacks; they count as 0

	Changes []ResourceChange `json:"changes,omitempty"` // in Terraform's order; nothing that stays as it is
	Starts  int              `json:"starts"`            // machines that there will be more than now
	Stops   int              `json:"stops"`             // machines that there will be less
	// Leftovers are what a killed run has left and no state knows; Apply removes them first.
	Leftovers []Resource `json:"leftovers,omitempty"`
	Rebounds  bool       `json:"rebounds,omitempty"` // how far the fleet may grow or shrink by itself is another
	Adopted   bool       `json:"adopted,omitempty"`  // it was deployed from elsewhere, and from now on is of both
	Resumes   bool       `json:"resumes,omitempty"`  // the Apply before was cut off, and this one finishes it
}

// Group is a number of machines of one kind.
type Group struct {
	Role     Role    `json:"role"`
	Count    int     `json:"count"`
	Most     int     `json:"most,omitempty"` // in a fleet that grows by itself
	Type     string  `json:"type,omitempty"` // the preferred one
	OnDemand int     `json:"on_demand"`
	Spot     int     `json:"spot"`
	Hourly   float64 `json:"hourly"` // USD for all of them
}

// groups are the machines that a request wants.
func groups(r Request) []Group {
	demand := OnDemand(r.Workers, r.Spot)
	return []Group{
		{Role: Server, Count: r.Servers, Type: r.ServerType, OnDemand: r.Servers},
		{
			Role: Worker, Count: r.Workers, Most: r.Max, Type: r.WorkerTypes[0], OnDemand: demand, Spot: r.Workers - demand,
		},
	}
}

// describe is the part of a plan that needs no Terraform.
func (f *Fleet) describe(r Request, s Setup) Plan {
	p := Plan{
		Cluster: f.name, Provider: r.Provider, Region: r.Region, Account: s.Account, Bucket: s.Bucket,
		ExpiresAt: r.ExpiresAt, Groups: groups(r),
	}
	if s.Priced {
		p.price(r, f.options.Now())
	}
	return p
}

// ResourceChange is one line of the plan.
type ResourceChange struct {
	Address string `json:"address"` // module.network.aws_vpc.main
	Type    string `json:"type"`    // aws_vpc
	Action  Action `json:"action"`
}

// Action is what happens to a resource.
type Action string

// The actions of a plan and of its events.
const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Delete  Action = "delete"
	Import  Action = "import" // exists already, and is taken over: the bucket of an earlier fleet
)

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool {
	return len(p.Changes) == 0 && len(p.Leftovers) == 0 && p.Starts+p.Stops == 0 && !p.Resumes && !p.Rebounds
}

// Count returns how many resources an action is planned for.
func (p Plan) Count(a Action) int {
	n := 0
	for _, c := range p.Changes {
		if c.Action == a {
			n++
		}
	}
	return n
}

// Event is progress of Apply or Destroy.
type Event struct {
	Kind    EventKind     `json:"kind"`
	Action  Action        `json:"action,omitempty"`
	Address string        `json:"address,omitempty"` // of Terraform's resource, or the text of a leftover
	Type    string        `json:"type,omitempty"`    // aws_vpc
	Elapsed time.Duration `json:"elapsed,omitempty"` // since this resource's Started
	Done    int           `json:"done"`              // resources that are finished
	Total   int           `json:"total"`             // resources that the plan changes
	Message string        `json:"message,omitempty"` // a Note's or a Problem's text
}

// EventKind is what an event tells.
type EventKind string

// The kinds of events. A Problem is an error or a warning of Terraform; whether it was the end is said by Apply's
// error.
const (
	Started  EventKind = "started"
	Going    EventKind = "going"
	Finished EventKind = "finished"
	Broken   EventKind = "broken"
	Problem  EventKind = "problem"
	Note     EventKind = "note"
)

// Outputs is the contract between a root module and this program: every root has outputs of these names.
type Outputs struct {
	Cluster     string            `json:"cluster"`
	Region      string            `json:"region"`
	Bucket      string            `json:"bucket"`
	ExpiresAt   time.Time         `json:"expires_at"`
	ServerGroup string            `json:"server_group"` // names by which machines are scaled
	WorkerGroup string            `json:"worker_group"`
	SecretsPath string            `json:"secrets_path"` // where machines read secrets: "/runner/NAME"
	CA          string            `json:"ca"`
	Servers     []string          `json:"servers"` // addresses for who is outside; what a group starts is asked for
	Workers     []string          `json:"workers"`
	Env         map[string]string `json:"env"` // what the tools of the store need: AWS_ENDPOINT_URL and so on
}
