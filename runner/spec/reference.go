package spec

import (
	"encoding/json"
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
	root := schemaRule()
	var b strings.Builder
	fmt.Fprintf(&b, "# Job specification\n\n%s\n\n```yaml\n%s```\n\n", root.Description, example)
	b.WriteString("An unknown key is an error that names the line and the nearest key that is known.\n" +
		"Sizes are written as in 256MiB, 1GiB (powers of 1024) or 1GB (powers of 1000).\n\n")
	writeTable(&b, root, "", root)
	for _, p := range root.Properties {
		if len(p.Properties) > 0 {
			fmt.Fprintf(&b, "\n## %s\n%s\n\n", p.key, p.Description)
			writeTable(&b, root, p.key+".", p.rule)
		}
	}
	function := root.Defs["function"]
	fmt.Fprintf(&b, "\n## Functions\nA mapper, combiner, reducer, master or worker is %s.\n\n", function.Want)
	writeTable(&b, root, "", function)
	return b.String()
}

func writeTable(b *strings.Builder, root rule, prefix string, of rule) {
	b.WriteString("| key | flag | default | meaning | value |\n|---|---|---|---|---|\n")
	writeRows(b, root, prefix, of)
}

// writeRows writes a row for each key, followed by those of the mappings in it.
func writeRows(b *strings.Builder, root rule, prefix string, of rule) {
	for _, p := range of.Properties {
		r := p.rule.resolve(root)
		flag := ""
		if r.Flag != "" {
			flag = "`" + r.Flag + "` "
		}
		if r.Default != "" {
			r.Default += " "
		}
		fmt.Fprintf(b, "| `%s%s` | %s| %s| %s | %s |\n", prefix, p.key, flag, r.Default, r.Description, r.Want)
		if prefix == "" || r.Ref != "" || p.rule.Ref != "" {
			continue // these have tables of their own
		}
		var any rule
		_ = json.Unmarshal(r.Additional, &any) // a schema, or plain false: then there is nothing below
		writeRows(b, root, prefix+p.key+".", r)
		writeRows(b, root, prefix+p.key+".NAME.", any)
		if r.Items != nil {
			writeRows(b, root, prefix+p.key+"[].", *r.Items)
		}
	}
}
