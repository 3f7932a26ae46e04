package fleet

import (
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// grant is what clients and nodes know of a job beside its record: the secret that lets them in. It outlives the job as
// long as its logs do.
type grant struct {
	Secret string    `json:"secret"`
	Over   bool      `json:"over,omitempty"`
	Nomad  string    `json:"nomad,omitempty"`  // id of the application master's token, to revoke it
	Consul string    `json:"consul,omitempty"` // the same for Consul
	Since  time.Time `json:"since"`
}

// grants is the prefix of all grants; nothing else is there, since every node watches it.
const grants = "grant/"

func grantKey(id scheduler.JobID) coord.Key { return coord.Key(grants + string(id)) }

func (g grant) encode() []byte {
	data, err := json.Marshal(g)
	if err != nil { // plain fields always encode
		panic(err)
	}
	return data
}

// parseGrant is the inverse of encode; nothing is the zero grant.
func parseGrant(data []byte) (g grant, err error) {
	if len(data) == 0 {
		return g, nil
	}
	if err := json.Unmarshal(data, &g); err != nil {
		return g, errs.E("fleet.grant", errs.Corrupt, nil, err)
	}
	return g, nil
}
