package spec

import (
	"fmt"
	"strings"
)

// example is a whole specification; a test reads it.
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

// Reference tells all that a specification may say, in Markdown, out of the schema.
func Reference() string {
	root := schema.Rule()
	var b strings.Builder
	fmt.Fprintf(&b, "# Job specification\n\n%s\n\n```yaml\n%s```\n\n", root.Description, example)
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
	return b.String()
}
