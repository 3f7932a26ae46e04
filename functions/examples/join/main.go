// Join joins orders with their customers, from two kinds of lines in one input: "customer,1,Ann" and "order,1,book".
// Each order comes out with the name of who ordered.
//
// Keys are the customer's number and the kind of the line, 0 for customers and 1 for orders, and the job groups by the
// number: so a customer comes before all of its orders, of which none has to wait in memory.
//
//	cd functions/examples/join && go build -o join .
//	runner run join.yaml                         which says key: {group: 1}
package main

import (
	"fmt"
	"iter"
	"strings"

	"github.com/seed3322913c/runner/functions"
)

func main() { functions.Main(join()) }

// kinds are the beginnings of lines, and what makes them sort: customers first.
var kinds = map[string]string{"customer": "0", "order": "1"}

func join() functions.Function {
	var env functions.Env
	return functions.MapReduce[string, string]{
		Doc:   "orders with the names of their customers",
		Setup: func(e functions.Env) error { env = e; return nil },
		Map: func(line []byte, emit func(string, string)) error {
			fields := strings.SplitN(string(line), ",", 3)
			if len(fields) < 3 || kinds[fields[0]] == "" {
				return fmt.Errorf("neither customer nor order: %q", line)
			}
			kind := kinds[fields[0]]
			emit(fields[1]+"\t"+kind, kind+fields[2])
			return nil
		},
		Reduce: functions.Reduce(func(_ string, lines iter.Seq[string], emit func(string, string)) error {
			name, known := "", false
			for line := range lines {
				switch kind, text := line[:1], line[1:]; {
				case kind == kinds["customer"]:
					name, known = text, true
				case known:
					emit(name, text)
				default:
					env.Count("Join", "ORDERS_OF_NOBODY", 1)
				}
			}
			return nil
		}),
	}
}
