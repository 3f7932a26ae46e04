package rows

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

// Schema is the columns of a file to be written, each of which may lack a value.
type Schema []Column

// Column is one column: its name and the name of its type, one of Types.
type Column struct {
	Name, Type       string
	precision, scale int // of a decimal
}

// maxPrecision is how many digits fit the int64 that a decimal is stored as.
const maxPrecision = 18

// Types are the names of the types of columns.
func Types() []string {
	return []string{
		"boolean", "int32", "int64", "float", "double", "string", "binary", "date", "timestamp", "json", "decimal(P,S)",
	}
}

var (
	columnText  = regexp.MustCompile(`^\s*(\S+)\s+([a-z]+[0-9]*)\s*(?:\(\s*(\d+)\s*,\s*(\d+)\s*\))?\s*$`)
	columnsText = regexp.MustCompile(`[^,(]+(?:\([^)]*\))?[^,]*`)
)

// ParseSchema reads "NAME TYPE, ...", as in "word string, price decimal(10,2)". It fails with errs.Invalid.
func ParseSchema(text string) (Schema, error) {
	const op = "rows.ParseSchema"
	var s Schema
	for _, part := range columnsText.FindAllString(text, -1) {
		m := columnText.FindStringSubmatch(part)
		if m == nil {
			return nil, errs.Errorf(op, errs.Invalid, nil, "column %q is no name and type, as in: word string, n int64",
				strings.TrimSpace(part))
		}
		c := Column{Name: m[1], Type: m[2]}
		c.precision, _ = strconv.Atoi(m[3]) // digits, or nothing: 0
		c.scale, _ = strconv.Atoi(m[4])
		isDecimal := c.Type == "decimal"
		switch {
		case isDecimal && (c.precision < 1 || c.precision > maxPrecision || c.scale > c.precision):
			return nil, errs.Errorf(op, errs.Invalid, nil, "column %s: say decimal(P,S), with P from 1 to %d and S up to P",
				c.Name, maxPrecision)
		case !isDecimal && (m[3] != "" || !slices.Contains(Types(), c.Type)):
			return nil, errs.Errorf(op, errs.Invalid, nil, "column %s: there is no type %q%s", c.Name, c.Type,
				nearest.Hint(c.Type, Types()))
		case slices.ContainsFunc(s, func(o Column) bool { return o.Name == c.Name }):
			return nil, errs.Errorf(op, errs.Invalid, nil, "there are two columns %s", c.Name)
		}
		s = append(s, c)
	}
	if len(s) == 0 {
		return nil, errs.Errorf(op, errs.Invalid, nil, "a schema without columns; say, as an example: word string, n int64")
	}
	return s, nil
}

// String is the inverse of ParseSchema.
func (s Schema) String() string {
	all := make([]string, len(s))
	for i, c := range s {
		all[i] = c.Name + " " + c.Type
		if c.Type == "decimal" {
			all[i] += fmt.Sprintf("(%d,%d)", c.precision, c.scale)
		}
	}
	return strings.Join(all, ", ")
}

// node returns the column as Parquet has it.
func (c Column) node() parquet.Node {
	var n parquet.Node
	switch c.Type {
	case "boolean":
		n = parquet.Leaf(parquet.BooleanType)
	case "int32":
		n = parquet.Int(32)
	case "int64":
		n = parquet.Int(64)
	case "float":
		n = parquet.Leaf(parquet.FloatType)
	case "double":
		n = parquet.Leaf(parquet.DoubleType)
	case "string":
		n = parquet.String()
	case "date":
		n = parquet.Date()
	case "timestamp":
		n = parquet.Timestamp(parquet.Microsecond)
	case "json":
		n = parquet.JSON()
	case "decimal":
		n = parquet.Decimal(c.scale, c.precision, parquet.Int64Type)
	default:
		n = parquet.Leaf(parquet.ByteArrayType)
	}
	return parquet.Optional(n)
}

// group is a parquet.Group whose fields keep their order.
type group struct {
	parquet.Group
	order Schema
}

// Fields implements parquet.Node.
func (g group) Fields() []parquet.Field {
	fields := g.Group.Fields()
	at := func(f parquet.Field) int {
		return slices.IndexFunc(g.order, func(c Column) bool { return c.Name == f.Name() })
	}
	slices.SortFunc(fields, func(a, b parquet.Field) int { return at(a) - at(b) })
	return fields
}

func (s Schema) parquet() *parquet.Schema {
	g := group{parquet.Group{}, s}
	for _, c := range s {
		g.Group[c.Name] = c.node()
	}
	return parquet.NewSchema("schema", g)
}
