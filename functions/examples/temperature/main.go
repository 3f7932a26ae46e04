// Temperature computes the mean temperature of each weather station, from lines such as "Oslo;-3.5".
//
//	go build -o temperature ./functions/examples/temperature
//	runner run ./temperature --input measurements/ --output out/means --set decimals=2
package main

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/seed3322913c/runner/functions"
)

func main() { functions.Main(meanTemperature()) }

// tally is what is known of some measurements. Two of them can be added, which two means cannot.
type tally struct {
	Count int64   `json:"n"`
	Sum   float64 `json:"sum"`
}

func add(a, b tally) tally { return tally{a.Count + b.Count, a.Sum + b.Sum} }

func meanTemperature() functions.Function {
	var env functions.Env
	scale := 1.0
	return functions.MapReduce[string, tally]{
		Doc:    "mean temperature per station",
		Params: []functions.Param{{Name: "decimals", Doc: "digits behind the point", Default: "1"}},
		Setup: func(e functions.Env) error {
			env = e
			text, _ := env.Param("decimals")
			decimals, err := strconv.Atoi(text)
			if err != nil {
				return fmt.Errorf("parameter decimals: %w", err)
			}
			scale = math.Pow10(decimals)
			return nil
		},
		Map: func(line []byte, emit func(string, tally)) error {
			station, text, _ := bytes.Cut(line, []byte{';'})
			celsius, err := strconv.ParseFloat(string(text), 64)
			if err != nil {
				env.Count("Temperature", "BAD_LINES", 1) // broken sensors are part of life
				return nil
			}
			emit(string(station), tally{1, celsius})
			return nil
		},
		Combine: functions.FoldFunc(add),
		Reduce: functions.Reduce(func(station string, tallies iter.Seq[tally], emit func(string, float64)) error {
			var all tally
			for t := range tallies {
				all = add(all, t)
			}
			emit(station, math.Round(all.Sum/float64(all.Count)*scale)/scale)
			return nil
		}),
	}
}
