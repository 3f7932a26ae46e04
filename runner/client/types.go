package client

import (
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Submission asks for a job to be run. Exactly one of Spec and Job is set.
type Submission struct {
	// Key makes repeating safe: the same one always gives the same job. Without it every submission is a new job.
	Key string `json:"key,omitempty"`
	// Spec is a job's specification, as YAML has it (docs/spec.md): an object. Paths are absolute URIs.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Job is a specification that was compiled already, as GET /v1/jobs/{id}/spec has it. If it has an id, that is its
	// key.
	Job *scheduler.Job `json:"job,omitempty"`
	// Env are variables that the job's processes find: the secrets that the job names, and how gateways are reached. They
	// are kept where the job's own processes alone read them.
	Env map[string]string `json:"env,omitempty"`
}

// Submitted is a job that was taken.
type Submitted struct {
	Job scheduler.JobID `json:"job"`
}

// QueueList is how queues stand, and who waits in them.
type QueueList struct {
	Queues []queue.Usage `json:"queues"`         // parents before children
	Jobs   []Queued      `json:"jobs"`           // that are not over, who came first first; a page of them
	Next   string        `json:"next,omitempty"` // what to say as after for the next page
	Config queue.Config  `json:"config"`         // as it was described
}

// Queued is a job that is not over.
type Queued struct {
	Job       scheduler.JobID `json:"job"`
	Queue     string          `json:"queue"`
	User      string          `json:"user,omitempty"`
	Priority  int             `json:"priority,omitempty"`
	Running   bool            `json:"running"` // it was admitted
	Executors int             `json:"executors"`
	Wanted    int             `json:"wanted"`
	Waits     string          `json:"waits,omitempty"`     // for what, in a sentence
	Preempted int             `json:"preempted,omitempty"` // executors that it had to give back so far
}

// NodeList is a page of the machines of a fleet.
type NodeList struct {
	Nodes []Node `json:"nodes"`
	Next  string `json:"next,omitempty"` // what to say as after for the next page
}

// Ready is the state of a machine that takes work.
const Ready = "ready"

// Node is a machine.
type Node struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Address   string          `json:"address"`
	State     string          `json:"state"` // ready, down, draining, full: it takes no more work, unfit: it cannot start containers
	Total     queue.Resources `json:"total"`
	Used      queue.Resources `json:"used"`
	Executors int             `json:"executors"`
}

// Cluster is a fleet as a whole.
type Cluster struct {
	Name    string    `json:"name"`
	Leader  string    `json:"leader"` // the address of the control that leads
	Epoch   uint64    `json:"epoch"`  // of its leadership: grows with every leader
	Since   time.Time `json:"since"`
	Version string    `json:"version"`
	Nodes   int       `json:"nodes"` // that are ready
	Running int       `json:"running"`
	Waiting int       `json:"waiting"`
}

// TokenList is a page of the tokens of a fleet.
type TokenList struct {
	Tokens []Token `json:"tokens"`
	Next   string  `json:"next,omitempty"` // what to say as after for the next page
}

// Token stands for who may ask.
type Token struct {
	ID      string    `json:"id,omitempty"`
	Name    string    `json:"name"` // whose it is, or what for
	Role    string    `json:"role"` // read, submit or admin
	Created time.Time `json:"created,omitzero"`
	Text    string    `json:"text,omitempty"` // what is shown; told once, when it is made
}

// JobList is a page of jobs, the newest first.
type JobList struct {
	Jobs []embedded.Status `json:"jobs"`
	Next string            `json:"next,omitempty"` // what to say as after for the next page
}

// AttemptList is a page of a job's attempts, in the order in which they were begun.
type AttemptList struct {
	Attempts []am.AttemptReport `json:"attempts"`
	Total    int                `json:"total"`
	Next     string             `json:"next,omitempty"` // what to say as after for the next page
}

// Usage is what a job has used.
type Usage struct {
	CoreSeconds  float64 `json:"coreSeconds"` // of all attempts, also of those that failed
	Requests     int64   `json:"requests"`    // to object storage, of the attempts whose results were taken
	Puts         int64   `json:"puts"`        // those of them that write or list
	BytesRead    int64   `json:"bytesRead"`   // from there, likewise
	BytesWritten int64   `json:"bytesWritten"`
	Shuffled     int64   `json:"bytesShuffled"` // from maps to reduces
	// USD is what it has cost, its share of the fleet included; 0 if nobody pays.
	USD      float64 `json:"usd,omitempty"`
	Price    *Price  `json:"price,omitempty"`    // in parts
	PricesOf string  `json:"pricesOf,omitempty"` // a day
}

// Price is what the parts of a usage have cost, in USD.
type Price struct {
	Machines float64 `json:"machines"`
	Requests float64 `json:"requests"`
	Moved    float64 `json:"moved"` // bytes from machine to machine
}

// LogList is what has been written about a job.
type LogList struct {
	Logs []LogFile `json:"logs"`
	Next string    `json:"next,omitempty"` // what to say as after for the next page
}

// LogFile is a log of a process (am-0, executor-3) or of an attempt (map-3.0); on a fleet with the machine's address
// behind it, as in map-3.0@10.0.0.7.
type LogFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// FileList is a page of a folder, in order of names; without a path it says where one can begin.
type FileList struct {
	Roots   []string `json:"roots,omitempty"` // URIs of folders
	Path    string   `json:"path,omitempty"`  // URI of the folder, with a slash at its end
	Entries []File   `json:"entries"`
	Next    string   `json:"next,omitempty"` // what to say as after for the next page
}

// File is an entry of a folder.
type File struct {
	Name     string    `json:"name"`
	Folder   bool      `json:"folder,omitempty"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified,omitzero"`
	Owner    string    `json:"owner,omitempty"`
}

// Fleet is what a fleet has cost, and when it removes itself.
type Fleet struct {
	Name     string    `json:"name"`
	Provider string    `json:"provider"`
	Region   string    `json:"region,omitempty"`
	Phase    string    `json:"phase"` // deployed, or what is going on
	Servers  int       `json:"servers"`
	Workers  int       `json:"workers"`
	Bucket   string    `json:"bucket,omitempty"`
	Deployed time.Time `json:"deployed,omitzero"`
	Expires  time.Time `json:"expires,omitzero"` // when the dead-man switch turns the machines off
	// Idle is after how many seconds without a job it removes itself, too; 0: never. IdleSince is since when there is
	// none.
	Idle      float64   `json:"idleSeconds,omitempty"`
	IdleSince time.Time `json:"idleSince,omitzero"`
	USD       float64   `json:"usd"`               // so far
	Hourly    float64   `json:"usdHourly"`         // at the moment
	PricesOf  time.Time `json:"pricesOf,omitzero"` // of the table; none: nobody pays
	Machines  []Machine `json:"machines"`
}

// Machine is a machine of a fleet as its provider sees it.
type Machine struct {
	ID      string `json:"id"`
	Role    string `json:"role"` // server or worker
	Type    string `json:"type,omitempty"`
	Address string `json:"address,omitempty"`
	State   string `json:"state"`
	Spot    bool   `json:"spot,omitempty"`
}
