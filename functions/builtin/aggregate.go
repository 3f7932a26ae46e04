package builtin

import (
	"bytes"
	"iter"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

func aggregateParams() []functions.Param {
	return []functions.Param{
		{Name: "op", Doc: "sum, min, max, mean or count", Default: "sum"},
		{Name: "type", Doc: "int for integers of 64 bits, float for any numbers, with rounding", Default: "int"},
	}
}

// newAggregate returns what the parameters ask for, as a typed function: with integers, sum, min, max and count take
// the engine's path for int64 folds.
func newAggregate(params functions.Params) (functions.Raw, error) {
	switch params["type"] {
	case "int":
		return aggregate(params["op"], parseInt)
	case "float":
		return aggregate(params["op"], parseFloat)
	}
	return functions.Raw{}, badChoice("type", params["type"], []string{"int", "float"})
}

func aggregate[N int64 | float64](op string, parse func([]byte) (N, error)) (functions.Raw, error) {
	type pair = functions.MapReduce[[]byte, N]
	// lines calls f with the key and the number of a line.
	number := func(line []byte, emit func([]byte, N)) error {
		key, n, err := keyAndNumber(line, parse)
		if err == nil {
			emit(key, n)
		}
		return err
	}
	switch op {
	case "sum":
		return pair{Map: number, Combine: functions.Sum[N]()}.Raw(), nil
	case "min":
		return pair{Map: number, Combine: functions.Min[N]()}.Raw(), nil
	case "max":
		return pair{Map: number, Combine: functions.Max[N]()}.Raw(), nil
	case "count":
		return functions.MapReduce[[]byte, int64]{
			Map: func(line []byte, emit func([]byte, int64)) error {
				return number(line, func(key []byte, _ N) { emit(key, 1) })
			},
			Combine: functions.Sum[int64](),
		}.Raw(), nil
	case "mean":
		return functions.MapReduce[[]byte, mean[N]]{
			Map: func(line []byte, emit func([]byte, mean[N])) error {
				return number(line, func(key []byte, n N) { emit(key, mean[N]{1, n}) })
			},
			Combine: addMeans[N](),
			Reduce: functions.Reduce(func(key []byte, means iter.Seq[mean[N]], emit func([]byte, float64)) error {
				emit(key, total(means).value())
				return nil
			}),
		}.Raw(), nil
	}
	return functions.Raw{}, badChoice("op", op, []string{"sum", "min", "max", "mean", "count"})
}

func badChoice(param, value string, choices []string) error {
	return errs.Errorf("builtin.aggregate", errs.Invalid, nil, "%q is not a value of parameter %q%s", value, param,
		nearest.Hint(value, choices))
}

// keyAndNumber takes a line apart. White space around the number does not matter.
func keyAndNumber[N any](line []byte, parse func([]byte) (N, error)) (key []byte, n N, err error) {
	const op = "builtin.aggregate"
	key, text, found := bytes.Cut(line, []byte{'\t'})
	if !found {
		return nil, n, errs.Errorf(op, errs.Failed, nil, "a line without a TAB: %.80q", line)
	}
	if n, err = parse(bytes.TrimSpace(text)); err != nil {
		return nil, n, errs.E(op, errs.Failed, strconv.Quote(string(key[:min(len(key), 80)])), err)
	}
	return key, n, nil
}

func parseInt(text []byte) (int64, error) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, errs.Errorf("", errs.Failed, nil,
			"%.80q is not an integer of 64 bits; for other numbers set type=float", text)
	}
	return n, nil
}

func parseFloat(text []byte) (float64, error) {
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, errs.Errorf("", errs.Failed, nil, "%.80q is not a number", text)
	}
	return n, nil
}
