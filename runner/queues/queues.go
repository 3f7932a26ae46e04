// Package queues reads the description of a fleet's queues:
//
//	preemptAfter: 15s         # that a queue goes without its share before others give way
//	queues:
//	  - name: analytics
//	    share: 0.5            # of all machines, guaranteed
//	    max: 0.8              # at most, when others leave some
//	    children:
//	      - {name: reports, share: 0.4}
//	      - {name: adhoc, share: 0.6, order: fair, userMax: 0.5, jobs: 20}
//	  - name: training
//	    share: 0.5
//
// Mistakes are told in one sentence each, with the line where there is one.
package queues

import (
	_ "embed"
	"encoding/json"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/strictyaml"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler/queue"
)

//go:embed schema.json
var schema strictyaml.Schema

// Parse reads one description. file is its name, for errors, which are of kind Invalid.
func Parse(file string, text []byte) (queue.Config, error) {
	root := queue.Config{Name: "root"}
	parsed, err := strictyaml.Parse(file, text)
	if err != nil {
		return root, err
	}
	if len(parsed.Docs) != 1 || parsed.Docs[0].Body == nil {
		return root, say.Errorf(errs.Invalid, "%s is no description of queues; it begins with queues:", file)
	}
	doc, err := strictyaml.Read(file, parsed.Docs[0].Body)
	if err == nil {
		err = doc.Check(schema)
	}
	if err != nil {
		return root, err
	}
	if doc.Text("preemptAfter") != "" {
		after, err := strictyaml.ParseTime(doc.Text("preemptAfter"))
		if err != nil {
			return root, doc.Errorf([]string{"preemptAfter"}, "%s", say.Sentence(err))
		}
		root.PreemptAfter = after.Seconds()
	}
	data, err := json.Marshal(doc.Tree["queues"])
	if err == nil {
		err = json.Unmarshal(data, &root.Children)
	}
	if err != nil {
		return root, errs.E("queues.Parse", errs.Internal, file, err) // the schema has checked it
	}
	if _, err := queue.New(root); err != nil {
		return root, say.Errorf(errs.Invalid, "%s: queue %s", file, say.Text(err))
	}
	return root, nil
}
