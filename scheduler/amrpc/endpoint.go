// Package amrpc is what an application master, its executors and its clients say to each other: the generated code of
// am.proto, and where the application master is found.
//
// An application master publishes its Endpoint under one coordination key when it has sealed the ledger. Executors and
// clients watch that key and obey the highest epoch that they have seen there. When the job is over, it says that there
// instead: whoever looks late must not wait for ever.
package amrpc

import (
	"encoding/json"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Endpoint is where the application master of a job listens, and the epoch in which it rules.
type Endpoint struct {
	Address string `json:"address,omitempty"` // host:port
	Epoch   uint64 `json:"epoch"`             // the number of its seal in the ledger, above that of all before it
	Over    bool   `json:"over,omitempty"`    // the job is over, and the application master gone
}

// Key is the coordination key of a job's Endpoint.
func Key(job scheduler.JobID) coord.Key { return coord.Key("job/" + string(job) + "/am") }

// LeaseKey is the coordination key of the lease that a job's application master holds.
func LeaseKey(job scheduler.JobID) coord.Key { return coord.Key("job/" + string(job)) }

// Encode returns the value for Key.
func (e Endpoint) Encode() []byte {
	b, err := json.Marshal(e)
	if err != nil { // plain fields always encode
		panic(err)
	}
	return b
}

// ParseEndpoint is the inverse of Encode.
func ParseEndpoint(value []byte) (Endpoint, error) {
	var e Endpoint
	if err := json.Unmarshal(value, &e); err != nil || e.Epoch == 0 || e.Over != (e.Address == "") {
		return Endpoint{}, errs.Errorf("amrpc.ParseEndpoint", errs.Corrupt, nil, "%q", value)
	}
	return e, nil
}
