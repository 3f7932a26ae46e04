package main

import (
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/functionstest"
)

const measurements = "Oslo;-3.5\nRome;20.25\nOslo;-1\nRome\nRome;21.5\n"

func TestMeanTemperature(t *testing.T) {
	functionstest.MapReduceDriver{
		Function:     meanTemperature(),
		Input:        measurements,
		Want:         "Oslo\t-2.3\nRome\t20.9\n",
		WantCounters: functionstest.Counters{"Temperature": {"BAD_LINES": 1}},
	}.Run(t)
}

func TestDecimals(t *testing.T) {
	functionstest.MapReduceDriver{
		Function: meanTemperature(),
		Params:   functions.Params{"decimals": "3"},
		Input:    measurements,
		Want:     "Oslo\t-2.25\nRome\t20.875\n",
	}.Run(t)
	functionstest.MapReduceDriver{
		Function:  meanTemperature(),
		Params:    functions.Params{"decimals": "many"},
		Input:     measurements,
		WantError: "parameter decimals",
	}.Run(t)
}

func TestReduce(t *testing.T) {
	functionstest.ReduceDriver[string, tally]{
		Function: meanTemperature(),
		Input:    []functionstest.Group[string, tally]{{Key: "Oslo", Values: []tally{{1, 1}, {3, 7}}}},
		Want:     "Oslo\t2\n",
	}.Run(t)
}

func TestCombiner(t *testing.T) {
	functionstest.CheckCombiner(t, meanTemperature(), tally{1, 0.1}, tally{2, -40}, tally{7, 123.456})
}
