package strictyaml

import (
	"encoding/json"
	"fmt"
	"strings"
)

// WriteTable writes a table in Markdown with a row for each key of a mapping, under prefix, as in "resources.". Without
// a prefix the keys of mappings in it are left out, since they have tables of their own.
func (s Schema) WriteTable(b *strings.Builder, prefix string, of Rule) {
	b.WriteString("| key | flag | default | meaning | value |\n|---|---|---|---|---|\n")
	writeRows(b, s.Rule(), prefix, of)
}

// writeRows writes a row for each key, followed by those of the mappings in it.
func writeRows(b *strings.Builder, root Rule, prefix string, of Rule) {
	for _, p := range of.Properties {
		r := p.Rule.resolve(root)
		flag := ""
		if r.Flag != "" {
			flag = "`" + r.Flag + "` "
		}
		if r.Default != "" {
			r.Default += " "
		}
		fmt.Fprintf(b, "| `%s%s` | %s| %s| %s | %s |\n", prefix, p.Key, flag, r.Default, r.Description, r.Want)
		if prefix == "" || r.Ref != "" || p.Rule.Ref != "" {
			continue // these have tables of their own
		}
		var any Rule
		_ = json.Unmarshal(r.Additional, &any) // a schema, or plain false: then there is nothing below
		writeRows(b, root, prefix+p.Key+".", r)
		writeRows(b, root, prefix+p.Key+".NAME.", any)
		if r.Items != nil {
			writeRows(b, root, prefix+p.Key+"[].", *r.Items)
		}
	}
}
