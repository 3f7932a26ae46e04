package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// Cluster is what a cluster is made of before its first machine starts.
type Cluster struct {
	Name     string            `json:"name"`
	Network  string            `json:"network"` // "127.3.4": all its addresses begin so
	Servers  int               `json:"servers"`
	Bucket   string            `json:"bucket"`
	Data     string            `json:"data"`     // folder of the buckets
	Jobs     string            `json:"jobs"`     // URI of the store of jobs
	Binaries map[string]string `json:"binaries"` // of Found: paths by name; in cluster.json: checksums by name
	Deadline time.Time         `json:"deadline"`
	Idle     time.Duration     `json:"idle"` // without a job for so long it ends; 0 never
	Driver   nomad.Driver      `json:"driver,omitempty"`
}

const clusterFile = "cluster.json"

// Found makes all that machines need before they start: the folder, the secrets, the programs, the bucket. It may be
// called again.
func (h Host) Found(ctx context.Context, c Cluster, secrets map[string]string) error {
	const op = "local.Found"
	for _, dir := range []string{h.file(binDir), h.file(depotDir), h.file(partsDir), filepath.Join(c.Data, c.Bucket)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return errs.E(op, errs.Other, dir, err)
		}
	}
	if err := nodeinit.WriteDeadline(h.file(deadlineFile), c.Deadline); err != nil {
		return err
	}
	for name, secret := range secrets {
		path := h.file(secretsDir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return errs.E(op, errs.Other, name, err)
		}
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			return errs.E(op, errs.Other, name, err)
		}
	}
	depot, err := h.Depot()
	if err != nil {
		return err
	}
	sums := map[string]string{}
	for name, path := range c.Binaries {
		if sums[name], err = depot.Add(ctx, name, path); err != nil {
			return err
		}
	}
	// The program starts the machines, so it is there before any of them could fetch it.
	if err := copyProgram(c.Binaries["runner"], h.file(binDir, "runner")); err != nil {
		return err
	}
	c.Binaries = sums
	return h.write(clusterFile, c)
}

// Depot returns where the machines get their programs, and report how they are.
func (h Host) Depot() (nodeinit.Depot, error) {
	st, err := file.New(h.file(depotDir), file.Options{KeepDirs: true})
	return nodeinit.Depot{Store: st}, err
}

func copyProgram(from, to string) error {
	const op = "local.copyProgram"
	in, err := os.Open(from)
	if err != nil {
		return errs.E(op, errs.Other, from, err)
	}
	defer in.Close() // only read
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return errs.E(op, errs.Other, to, err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), to) // the one before may be running
	}
	if err != nil {
		return errs.E(op, errs.Other, to, err)
	}
	return nil
}

// write replaces a JSON file of the cluster's as a whole.
func (h Host) write(name string, v any) error {
	const op = "local.write"
	text, err := json.Marshal(v)
	if err != nil {
		return errs.E(op, errs.Internal, name, err)
	}
	if err := os.WriteFile(h.file(name+".part"), text, 0o600); err != nil {
		return errs.E(op, errs.Other, name, err)
	}
	if err := os.Rename(h.file(name+".part"), h.file(name)); err != nil {
		return errs.E(op, errs.Other, name, err)
	}
	return nil
}

func (h Host) read(name string, v any) error {
	const op = "local.read"
	text, err := os.ReadFile(h.file(name))
	if err != nil {
		return errs.E(op, errs.Other, h.file(name), err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return errs.E(op, errs.Corrupt, h.file(name), err)
	}
	return nil
}

// Part is a part of a cluster that Terraform makes and removes as a whole: see the root module. A group of machines is
// one, as clouds have them: how many there shall be is written down, and may be changed while they run.
type Part struct {
	Name string `json:"name"`
	ID   string `json:"id"` // Terraform's, by which leftovers are told from what a state knows
	// Generation differs whenever the part has to be made anew, since it is not as it was made.
	Generation string `json:"generation"`
	Size       int    `json:"size,omitempty"` // of a group
}

const partsDir = "parts"

// The parts of a cluster, in the order in which they are made.
const (
	depotPart   = "depot" // what Found makes
	deadmanPart = "deadman"
	storePart   = "store"
	serversPart = "servers"
	workersPart = "workers"
)

// kinds say of each group what its machines are, and where in the network.
var kinds = map[string]struct {
	role  nodeinit.Role
	first int
}{
	serversPart: {nodeinit.Server, 1},
	storePart:   {nodeinit.Store, 9},
	workersPart: {nodeinit.Worker, 11},
}

// DrainTime is how long a machine may move its work elsewhere: as long as its agents may take.
const DrainTime = nodeinit.DrainTime + 30*time.Second

// Resize makes a group as large as it shall be: it starts the machines that are missing, and ends those that are too
// many, which move their work elsewhere first.
func (h Host) Resize(ctx context.Context, g Part) error {
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := h.note(g); err != nil {
		return err
	}
	var c Cluster
	if err := h.read(clusterFile, &c); err != nil {
		return err
	}
	have, err := h.members(g.Name)
	if err != nil {
		return err
	}
	for _, i := range places(g, have) {
		m := h.machine(c, g, i)
		delete(have, m.Name)
		if err := h.Start(ctx, m); err != nil {
			return err
		}
	}
	return h.stopAll(ctx, slices.Collect(maps.Keys(have)), DrainTime)
}

// places are those that the machines of a group have: those of machines that there are, and else the first. Machines
// end one by one, so that there may be a second one without a first.
func places(g Part, have map[string]nodeinit.Machine) []int {
	var taken, free []int
	for i := range max(g.Size, maxWorkers) {
		if _, there := have[machineName(g.Name, i)]; there {
			taken = append(taken, i)
		} else {
			free = append(free, i)
		}
	}
	return append(taken, free...)[:g.Size]
}

// stopAll ends machines, all at once.
func (h Host) stopAll(ctx context.Context, machines []string, drain time.Duration) error {
	ended := make(chan error)
	for _, m := range machines {
		go func() { ended <- h.Stop(ctx, m, drain) }()
	}
	var all []error
	for range machines {
		all = append(all, <-ended)
	}
	return errors.Join(all...)
}

// note writes down that a part is being made.
func (h Host) note(p Part) error { return h.write(filepath.Join(partsDir, p.Name+".json"), p) }

// part returns what is written down of a part, or errs.NotFound.
func (h Host) part(name string) (Part, error) {
	var p Part
	return p, h.read(filepath.Join(partsDir, name+".json"), &p)
}

// Make makes a part. One that is there already is made to be so.
func (h Host) Make(ctx context.Context, p Part, c Cluster, secrets map[string]string) error {
	switch p.Name {
	case depotPart:
		if err := h.Found(ctx, c, secrets); err != nil {
			return err
		}
		return h.note(p)
	case deadmanPart:
		if err := h.note(p); err != nil {
			return err
		}
		return h.startDeadman(c.Deadline)
	}
	if _, ok := kinds[p.Name]; !ok {
		return errs.Errorf("local.Make", errs.Invalid, p.Name, "not a part of a cluster")
	}
	return h.Resize(ctx, p)
}

// Unmake removes a part; machines may move their work elsewhere for so long. That there is none is success.
func (h Host) Unmake(ctx context.Context, name string, drain time.Duration) error {
	switch name {
	case depotPart:
		return h.Remove()
	case deadmanPart:
		if err := h.Stop(ctx, deadmanPart, 0); err != nil {
			return err
		}
	default:
		have, err := h.members(name)
		if err != nil {
			return err
		}
		if err := h.stopAll(ctx, slices.Collect(maps.Keys(have)), drain); err != nil {
			return err
		}
	}
	file := h.file(partsDir, name+".json")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E("local.Unmake", errs.Other, file, err)
	}
	return nil
}

// members returns the machines of a group that were started, by name.
func (h Host) members(name string) (map[string]nodeinit.Machine, error) {
	all, err := h.Machines()
	if err != nil {
		return nil, err
	}
	have := map[string]nodeinit.Machine{}
	for _, m := range all {
		if m.Role == kinds[name].role {
			have[m.Name] = m
		}
	}
	return have, nil
}

// machineName names the i-th machine of a group.
func machineName(group string, i int) string { return fmt.Sprintf("%s-%d", kinds[group].role, i+1) }

// machine describes the i-th machine of a group.
func (h Host) machine(c Cluster, g Part, i int) nodeinit.Machine {
	kind := kinds[g.Name]
	address := func(n int) string { return fmt.Sprintf("%s.%d", c.Network, n) }
	m := nodeinit.Machine{
		Cluster: c.Name, Name: machineName(g.Name, i), Role: kind.role, Address: address(kind.first + i),
		Expect: c.Servers, Store: address(kinds[storePart].first), Jobs: c.Jobs, Data: c.Data,
		Files: nodeinit.FilesURI(c.Bucket), Bin: h.file(binDir),
		Depot: "file://" + h.file(depotDir), Deadline: h.file(deadlineFile), Incarnation: g.ID, Driver: c.Driver,
		Binaries: map[string]string{},
	}
	m.Dir = h.file(m.Name)
	for n := range c.Servers {
		m.Servers = append(m.Servers, address(kinds[serversPart].first+n))
	}
	if kind.role == nodeinit.Server {
		m.Pool = Name + ":" + h.Dir
	}
	needs := []string{"consul", "nomad", "runner"}
	if kind.role == nodeinit.Store {
		needs = []string{"versitygw"}
	}
	for _, name := range needs {
		m.Binaries[name] = cmp.Or(c.Binaries[name], "missing") // which the machine will report
	}
	return m
}
