package pack

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/strictyaml"
)

// ManifestFile is the name of a manifest in its folder.
const ManifestFile = "function.yaml"

// schema is what Parse checks manifests against; it is served to whoever wants to check them before.
//
//go:embed schema.json
var schema strictyaml.Schema

// Schema returns the JSON schema of manifests.
func Schema() []byte { return schema }

// Kind is what an invocation of a function does.
type Kind string

// The kinds of functions.
const (
	Handler   Kind = "handler"   // a process answers the event
	MapReduce Kind = "mapreduce" // submits a job
	Guagua    Kind = "guagua"    // likewise
)

// Manifest says what a function is. As JSON its times are texts, as people write them.
type Manifest struct {
	Kind        Kind              `json:"kind"`
	Name        string            `json:"name"`
	Build       string            `json:"build,omitempty"`
	Files       []string          `json:"files,omitempty"`
	Command     []string          `json:"command,omitempty"`
	Entry       string            `json:"entry,omitempty"`
	Timeout     Time              `json:"timeout"`
	Idle        Time              `json:"idle"`
	Concurrency int               `json:"concurrency"`
	Memory      int64             `json:"memory"` // bytes
	CPU         int               `json:"cpu"`    // cores
	Environment map[string]string `json:"environment,omitempty"`
	Secrets     map[string]string `json:"secrets,omitempty"` // references: see the schema
	Retries     Retries           `json:"retries"`
}

// Retries say what happens when an attempt fails.
type Retries struct {
	Attempts int  `json:"attempts"` // in all, 1 or more
	First    Time `json:"first"`    // the wait before the second
	Most     Time `json:"most"`     // the longest wait
}

// Wait returns how long to wait after the n-th failed attempt, n from 1. It grows exponentially, without chance: many
// events that fail at once are spread by the queue in front of the handlers.
func (r Retries) Wait(n int) time.Duration {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Duration(r.First)), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(time.Duration(r.Most)), backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))
	wait := b.NextBackOff()
	for range n - 1 {
		wait = b.NextBackOff()
	}
	return wait
}

// Time is a duration that is written as people do.
type Time time.Duration

// String is that of time.Duration.
func (t Time) String() string { return time.Duration(t).String() }

// MarshalText writes String.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what strictyaml.ParseTime does.
func (t *Time) UnmarshalText(text []byte) error {
	d, err := strictyaml.ParseTime(string(text))
	*t = Time(d)
	return err
}

// Defaults is a manifest with all that may be left out.
func Defaults() Manifest {
	return Manifest{
		Timeout: Time(30 * time.Second), Idle: Time(5 * time.Minute), Concurrency: 4, Memory: 256 << 20, CPU: 1,
		Retries: Retries{Attempts: 3, First: Time(200 * time.Millisecond), Most: Time(30 * time.Second)},
	}
}

// Parse reads a manifest. file is its name, for errors, which are of kind Invalid and one sentence each, with the line.
func Parse(file string, text []byte) (Manifest, error) {
	parsed, err := strictyaml.Parse(file, text)
	if err != nil {
		return Manifest{}, err
	}
	if len(parsed.Docs) != 1 || parsed.Docs[0].Body == nil {
		return Manifest{}, noFunction(file)
	}
	d, err := strictyaml.Read(file, parsed.Docs[0].Body)
	if err != nil {
		return Manifest{}, err
	}
	if d.Tree == nil {
		return Manifest{}, noFunction(file)
	}
	if err := d.Check(schema); err != nil {
		return Manifest{}, err
	}
	return read(d)
}

func noFunction(file string) error {
	return errs.Errorf("", errs.Invalid, nil,
		`%s is not a function; a function is one mapping that begins with "kind: handler"`, file)
}

// read makes a manifest of a document that is as the schema wants it.
func read(d strictyaml.Document) (Manifest, error) {
	const op = "pack.Parse"
	if err := normalize(d); err != nil {
		return Manifest{}, err
	}
	plain, err := json.Marshal(d.Tree)
	if err != nil {
		return Manifest{}, errs.E(op, errs.Internal, d.File, err)
	}
	m := Defaults()
	if err := json.Unmarshal(plain, &m); err != nil {
		return Manifest{}, errs.E(op, errs.Internal, d.File, err) // the schema let something through
	}
	if m.Kind != Handler && m.Entry == "" {
		m.Entry = "job.yaml"
	}
	if m.Kind != Handler && path.Clean("/" + m.Entry)[1:] != m.Entry {
		return Manifest{}, d.Errorf([]string{"entry"}, "entry is %q; want the name of a file below the folder", m.Entry)
	}
	if m.Kind != Handler && len(m.Command) > 0 {
		return Manifest{}, d.Errorf([]string{"command"}, "a function of kind %s has no command; its job says what runs",
			m.Kind)
	}
	for name := range m.Secrets {
		if _, twice := m.Environment[name]; twice {
			return Manifest{}, d.Errorf([]string{"secrets", name}, "%s is in environment, too", name)
		}
	}
	return m, nil
}

// normalize brings the different ways to say a thing to the one that Manifest has.
func normalize(d strictyaml.Document) error {
	tree := d.Tree
	if line, ok := tree["command"].(string); ok {
		tree["command"] = []any{"/bin/sh", "-c", "exec " + line}
	}
	if one, ok := tree["files"].(string); ok {
		tree["files"] = []any{one}
	}
	if text, ok := tree["memory"].(string); ok {
		n, err := strictyaml.ParseSize(text)
		if err != nil {
			return d.Errorf([]string{"memory"}, "memory: %s", errs.Cause(err))
		}
		tree["memory"] = n
	}
	retries, _ := tree["retries"].(map[string]any)
	for _, at := range []struct {
		in   map[string]any
		path []string
	}{
		{tree, []string{"timeout"}}, {tree, []string{"idle"}},
		{retries, []string{"retries", "first"}}, {retries, []string{"retries", "most"}},
	} {
		key := at.path[len(at.path)-1]
		if text, ok := at.in[key].(string); ok {
			if _, err := strictyaml.ParseTime(text); err != nil {
				return d.Errorf(at.path, "%s: %s", strings.Join(at.path, "."), errs.Cause(err))
			}
		}
	}
	environment, _ := tree["environment"].(map[string]any)
	for name, value := range environment {
		if _, isText := value.(string); !isText {
			environment[name] = d.Text("environment", name)
		}
	}
	return nil
}

// example is a whole manifest; a test reads it.
const example = `kind: handler
name: greet
build: go build -o greet .
files: [greet]
command: ./greet
timeout: 5s
concurrency: 8
memory: 64MiB
environment: {GREETING: Hello}
secrets: {API_TOKEN: env:GREET_API_TOKEN}
retries: {attempts: 5, first: 100ms, most: 10s}
`

// Reference tells all that a manifest may say, in Markdown, out of the schema.
func Reference() string {
	root := schema.Rule()
	var b strings.Builder
	fmt.Fprintf(&b, "# Function manifest\n\n%s\n\n```yaml\n%s```\n\n", root.Description, example)
	b.WriteString("An unknown key is an error that names the line and the nearest key that is known. " +
		"`runner fn schema` prints the JSON schema, for editors.\n\n")
	schema.WriteTable(&b, "", root)
	b.WriteString("\n## retries\n\n")
	schema.WriteTable(&b, "retries.", schema.At([]string{"retries"}))
	return b.String()
}
