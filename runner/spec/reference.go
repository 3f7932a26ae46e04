package spec

import (
	"fmt"
	"strings"

	"github.com/seed3322913c/runner/functions/builtin"
)

// example and commands are whole specifications; a test reads them.
const example = `kind: mapreduce
name: errors
input: [logs/2026-*, more/app.log]
output: out/errors
mapreduce:
  mapper: {builtin: grep}
  combiner: {builtin: sum}
  reducer: {builtin: sum}
  set: {pattern: "ERROR [a-z]+"}
resources: {executors: 4, memory: 512MiB}
`

const commands = `kind: task
name: sweep
output: out/models
files: train.py
archives: data.tgz#data
secrets: TRACKER_TOKEN
task:
  command: python3 train.py --data data --seed $RUNNER_TASK_INDEX --save $RUNNER_OUTPUT
  tasks: 100
  env: {RATE: 0.1}
  timeout: 2h
resources: {cpu: 2, memory: 4GiB, gpus: 1}
retry: {task: 2}
`

// Reference tells all that a specification may say, in Markdown, out of the schema.
func Reference() string {
	root := schema.Rule()
	var b strings.Builder
	fmt.Fprintf(&b, "# Job specification\n\n%s\n\n```yaml\n%s```\n\n```yaml\n%s```\n\n", root.Description, example,
		commands)
	b.WriteString("An unknown key is an error that names the line and the nearest key that is known.\n" +
		"Sizes are written as in 256MiB, 1GiB (powers of 1024) or 1GB (powers of 1000).\n\n")
	schema.WriteTable(&b, "", root)
	for _, p := range root.Properties {
		if len(p.Properties) > 0 {
			fmt.Fprintf(&b, "\n## %s\n%s\n\n", p.Key, p.Description)
			schema.WriteTable(&b, p.Key+".", p.Rule)
		}
	}
	function := root.Defs["function"]
	fmt.Fprintf(&b, "\n## Functions\nA mapper, combiner, reducer, master or worker is %s.\n\n", function.Want)
	schema.WriteTable(&b, "", function)
	writeBuiltins(&b)
	return b.String()
}

// writeBuiltins lists the functions that come with the program, for `builtin: NAME`. Those of training are in
// docs/guagua.md.
func writeBuiltins(b *strings.Builder) {
	b.WriteString("\nFor `builtin` of kind mapreduce there are these, whose parameters are keys of `set`:\n\n" +
		"| name | role | what it does | parameters |\n|---|---|---|---|\n")
	for _, f := range builtin.Functions() {
		var params []string
		for _, p := range f.Params {
			text := "`" + p.Name + "`: " + p.Doc
			switch {
			case p.Required:
				text += ", required"
			case p.Default != "":
				text += ", " + p.Default + " if left out"
			}
			params = append(params, text)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Name, strings.Join(f.Roles, ", "), f.Doc, strings.Join(params, "; "))
	}
}
