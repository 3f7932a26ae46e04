package mapreduce

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/scheduler"
)

// Kind is the kind of a MapReduce job, in scheduler.Job and in a specification.
const Kind = "mapreduce"

// Options is what a specification says under "mapreduce:", and what Job.Engine holds as JSON.
type Options struct {
	// Mapper is applied to every input record. Required, unless all Inputs have their own.
	Mapper functions.Ref `json:"mapper,omitzero"`

	// Inputs are parts of the input with mappers or formats of their own: together they are the whole input.
	Inputs []Input `json:"inputs,omitempty"`

	// Maps is how many maps a job without input has. Each is given one record, its number from 0.
	Maps int `json:"maps,omitempty"`

	// Combiner folds records of one key on the map side, any number of times, also never.
	Combiner functions.Ref `json:"combiner,omitzero"`

	// Reducer is applied to every key and its values. Without one the job is map-only.
	Reducer functions.Ref `json:"reducer,omitzero"`

	// Reducers is how many parts the output has: auto, or a number from 0 (map-only) to MaxReducers.
	Reducers Reducers `json:"reducers,omitzero"`

	// Partitioner says which reducer gets a key: hash (the default); total-order, where every key of a part sorts before
	// every key of the next; or function, where mappers say it (functions.MapReduce.Partition, or the first field of what
	// a program puts out).
	Partitioner Partitioner `json:"partitioner,omitempty"`

	// Key says in which order keys come to the reducers, and which of them come together.
	Key functions.KeyOrder `json:"key,omitzero"`

	// Set are the parameters of the job's functions.
	Set functions.Params `json:"set,omitempty"`

	// SplitSize is the least number of bytes of a split of the input; 0 chooses by the input's size and the number of
	// cores. Lines are never cut, so a map may read a little more or less.
	SplitSize int64 `json:"splitSize,omitempty"`

	// Format is the form of the input, and OutputFormat of the output.
	Format       format.Format `json:"format,omitempty"`
	OutputFormat format.Format `json:"outputFormat,omitempty"`

	// Outputs are further outputs, by their names.
	Outputs map[string]NamedOutput `json:"outputs,omitempty"`

	// Shuffle says where maps leave what reducers fetch: local (the default) or store.
	Shuffle Shuffle `json:"shuffle,omitempty"`

	// ShuffleCompress is how map output is compressed, block by block where it pays: none, s2 or zstd. Empty is none for
	// LocalShuffle and s2 for StoreShuffle.
	ShuffleCompress string `json:"shuffleCompress,omitempty"`

	// SkipBad is how many records may be left out of the whole job because functions fail at them; 0: none.
	SkipBad int `json:"skipBad,omitempty"`

	// MaxFailedPercent is how many of a hundred maps may fail for good while the job goes on without what they would have
	// read. The proof counts them.
	MaxFailedPercent int `json:"maxFailedPercent,omitempty"`

	// Speculative allows a second attempt beside a slow one, on another executor; nil: yes. Whatever an attempt does
	// outside of the job's output may then happen twice.
	Speculative *bool `json:"speculative,omitempty"`

	// Compress is the codec of the output; None leaves it as it is. The codec of an input file is told by its name.
	Compress codec.Codec `json:"compress,omitempty"`
}

// Limits of Options.
const (
	MaxReducers  = 100_000
	MaxSplitSize = 1 << 40
)

// Partitioner names a way to divide keys among reducers.
type Partitioner string

// The partitioners. An empty Partitioner is HashPartitioner.
const (
	HashPartitioner       Partitioner = "hash"
	TotalOrderPartitioner Partitioner = "total-order"
	FunctionPartitioner   Partitioner = "function"
)

// Shuffle names a way of map output to reducers.
type Shuffle string

// The ways. An empty Shuffle is LocalShuffle.
const (
	LocalShuffle Shuffle = "local" // it stays on the map's node, whose server serves it
	StoreShuffle Shuffle = "store" // it is also copied to the system's store, and outlives the node
)

// Reducers is a number of reducers, or the wish that the engine chooses it by the size of what the maps put out: the
// zero Reducers.
type Reducers struct {
	n     int
	fixed bool
}

// ExactReducers is the wish for exactly n reducers.
func ExactReducers(n int) Reducers { return Reducers{n, true} }

// Exact returns the number that was wished for; ok is false if the engine chooses.
func (r Reducers) Exact() (n int, ok bool) { return r.n, r.fixed }

// String returns "auto" or the number.
func (r Reducers) String() string {
	if !r.fixed {
		return "auto"
	}
	return strconv.Itoa(r.n)
}

// ParseReducers is the inverse of Reducers.String.
func ParseReducers(text string) (Reducers, error) {
	if text == "auto" {
		return Reducers{}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > MaxReducers {
		return Reducers{}, errs.Errorf("mapreduce.ParseReducers", errs.Invalid, nil,
			"reducers is %q; say auto, or a number from 0 to %d", text, MaxReducers)
	}
	return ExactReducers(n), nil
}

// MarshalJSON writes "auto" or a number.
func (r Reducers) MarshalJSON() ([]byte, error) {
	if !r.fixed {
		return []byte(`"auto"`), nil
	}
	return strconv.AppendInt(nil, int64(r.n), 10), nil
}

// UnmarshalJSON reads what MarshalJSON writes, and a number in quotes.
func (r *Reducers) UnmarshalJSON(b []byte) (err error) {
	*r, err = ParseReducers(strings.Trim(string(b), `"`))
	return err
}

// MapOnly reports whether the job has no reduce stage: the output of its maps is the output of the job.
func (o Options) MapOnly() bool {
	return o.Reducer.IsZero() || o.Reducers == ExactReducers(0)
}

// segmentCodec is how map output is compressed.
func (o Options) segmentCodec() (record.Codec, error) {
	switch {
	case o.ShuffleCompress == "" && o.Shuffle == StoreShuffle:
		return record.S2, nil
	case o.ShuffleCompress == "":
		return record.None, nil
	}
	c, err := record.ParseCodec(o.ShuffleCompress)
	if err != nil {
		return c, errs.Errorf("mapreduce.Options", errs.Invalid, nil,
			"there is no shuffleCompress %q; say none, s2 or zstd", o.ShuffleCompress)
	}
	return c, nil
}

func partitioners() []Partitioner {
	return []Partitioner{HashPartitioner, TotalOrderPartitioner, FunctionPartitioner}
}

// partitions reports whether mappers say which reducer gets a record.
func (o Options) partitions() bool { return o.Partitioner == FunctionPartitioner && !o.MapOnly() }

// mayFail returns how many of so many maps may fail for good.
func (o Options) mayFail(maps int) int { return maps * o.MaxFailedPercent / 100 }

// backups reports whether slow attempts may have a second one beside them.
func (o Options) backups() bool { return o.Speculative == nil || *o.Speculative }

// inChildren reports whether functions of the job run in processes of their own.
func (o Options) inChildren() bool {
	return slices.ContainsFunc(append(o.mappers(), o.Combiner, o.Reducer), func(r functions.Ref) bool {
		return r.Go != "" || r.Exec != ""
	})
}

// Validate checks o without looking at anything else. Errors are of kind Invalid, one sentence each.
func (o Options) Validate() error {
	const op = "mapreduce.Options"
	n, fixed := o.Reducers.Exact()
	switch {
	case fixed && (n < 0 || n > MaxReducers):
		return errs.Errorf(op, errs.Invalid, nil, "reducers is %d; say auto, or a number from 0 to %d", n, MaxReducers)
	case n > 0 && o.Reducer.IsZero():
		return errs.Errorf(op, errs.Invalid, nil, "reducers is %d but there is no reducer; name one, or say reducers: 0", n)
	case o.Partitioner != "" && !slices.Contains(partitioners(), o.Partitioner):
		return errs.Errorf(op, errs.Invalid, nil, "there is no partitioner %q; say one of %v", o.Partitioner, partitioners())
	case o.partitions() && !fixed:
		return errs.Errorf(op, errs.Invalid, nil,
			"a function that divides keys needs to know among how many reducers; say reducers: N")
	case o.Shuffle != "" && o.Shuffle != LocalShuffle && o.Shuffle != StoreShuffle:
		return errs.Errorf(op, errs.Invalid, nil, "there is no shuffle %q; say %s or %s",
			o.Shuffle, LocalShuffle, StoreShuffle)
	case o.SplitSize < 0 || o.SplitSize > MaxSplitSize:
		return errs.Errorf(op, errs.Invalid, nil, "splitSize is %d; say a number of bytes up to %d",
			o.SplitSize, int64(MaxSplitSize))
	case o.SkipBad < 0 || o.SkipBad > MaxSkipBad:
		return errs.Errorf(op, errs.Invalid, nil, "skipBad is %d; say a number from 0 to %d", o.SkipBad, MaxSkipBad)
	case o.MaxFailedPercent < 0 || o.MaxFailedPercent > 100:
		return errs.Errorf(op, errs.Invalid, nil, "maxFailedPercent is %d; say a number from 0 to 100", o.MaxFailedPercent)
	}
	if err := o.checkInputs(); err != nil {
		return err
	}
	if err := o.checkOutputs(); err != nil {
		return err
	}
	if err := o.Key.Validate(); err != nil {
		return err
	}
	if _, err := o.segmentCodec(); err != nil {
		return err
	}
	for _, f := range []struct {
		role string
		ref  functions.Ref
	}{{"combiner", o.Combiner}, {"reducer", o.Reducer}} {
		if err := checkRef(f.role, f.ref); err != nil {
			return err
		}
	}
	return nil
}

// checkWay checks what may differ between inputs.
func (o Options) checkWay() error {
	if o.Mapper.IsZero() {
		return errs.Errorf("mapreduce.Options", errs.Invalid, nil,
			"the job has no mapper; name one, as in mapper: {builtin: wordcount}")
	}
	if err := checkRef("mapper", o.Mapper); err != nil {
		return err
	}
	if o.partitions() && o.Mapper.Builtin != "" {
		return errs.Errorf("mapreduce.Options", errs.Invalid, nil,
			"the built-in %s does not say which reducer gets a key; say another partitioner than %s", o.Mapper.Builtin,
			FunctionPartitioner)
	}
	if err := o.Format.Check("format", format.Inputs()); err != nil {
		return err
	}
	if err := o.OutputFormat.Check("outputFormat", format.Outputs()); err != nil {
		return err
	}
	if err := o.Format.CheckParams(o.Set); err != nil {
		return err
	}
	if err := o.OutputFormat.CheckOutput(format.Output{Compress: o.Compress, Set: o.Set}); err != nil {
		return err
	}
	if o.Partitioner == TotalOrderPartitioner && !o.Format.Lines() && o.Format != format.FixedLength {
		return errs.Errorf("mapreduce.Options", errs.Invalid, nil,
			"%s orders keys by a sample of records from anywhere, which the format %s has not; say partitioner: %s",
			o.Partitioner, string(o.Format), HashPartitioner)
	}
	return o.Compress.Check()
}

// checkRef fails if more than one field of ref is set.
func checkRef(role string, ref functions.Ref) error {
	set := 0
	for _, s := range []string{ref.Builtin, ref.Go, ref.Exec} {
		if s != "" {
			set++
		}
	}
	if set > 1 {
		return errs.Errorf("mapreduce.Options", errs.Invalid, nil,
			"the %s is named more than once; keep one of builtin, go and exec", role)
	}
	return nil
}

// optionsOf decodes and validates the options of a job.
func optionsOf(job scheduler.Job) (Options, error) {
	var o Options
	if err := json.Unmarshal(job.Engine, &o); err != nil {
		return Options{}, errs.E("mapreduce.Options", errs.Invalid, job.ID, fmt.Errorf("options of the job: %w", err))
	}
	return o, o.Validate()
}
