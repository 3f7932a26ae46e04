package spec

import (
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/runner/say"
)

// withInputs returns s with the inputs of their own as absolute URIs, and all of them as its input.
func (s Spec) withInputs(dir string) (Spec, error) {
	if len(s.MapReduce.Inputs) == 0 {
		return s, nil
	}
	if len(s.Input) > 0 {
		return s, say.Errorf(errs.Invalid, "the job has input beside inputs; say everything under inputs")
	}
	s.MapReduce.Inputs = slices.Clone(s.MapReduce.Inputs)
	for i := range s.MapReduce.Inputs {
		in := &s.MapReduce.Inputs[i]
		in.Input = slices.Clone(in.Input)
		for k, text := range in.Input {
			uri, err := URI(text, dir)
			if err != nil {
				return s, err
			}
			in.Input[k] = uri
		}
		s.Input = append(s.Input, in.Input...)
	}
	return s, nil
}

// normalizeParts brings what stands under inputs and outputs to the one way that Spec has.
func (d document) normalizeParts(options map[string]any) {
	inputs, _ := options["inputs"].([]any)
	for i, item := range inputs {
		in, _ := item.(map[string]any)
		if one, ok := in["input"].(string); ok {
			in["input"] = []any{one}
		}
		d.normalizeTexts(in, "mapreduce", "inputs", strconv.Itoa(i), "set")
	}
	outputs, _ := options["outputs"].(map[string]any)
	for name, item := range outputs {
		if item == nil { // `errors:` and nothing more
			outputs[name] = map[string]any{}
		}
		out, _ := item.(map[string]any)
		d.normalizeTexts(out, "mapreduce", "outputs", name, "set")
	}
}

// normalizeTexts makes texts of the values of what stands at path, whose last step is a key of in.
func (d document) normalizeTexts(in map[string]any, path ...string) {
	set, _ := in[path[len(path)-1]].(map[string]any)
	for name, value := range set {
		if _, isText := value.(string); !isText {
			set[name] = d.Text(append(slices.Clone(path), name)...)
		}
	}
}

// FormFlags are the keys of a job of kind mapreduce that say in what form it reads, sorts and writes. A zero field was
// not given.
type FormFlags struct {
	Format       string
	OutputFormat string
	Compress     string
	Partitioner  string
	Key          string // as in "group=1,numeric,reverse,separator=,"
	Maps         int
	SkipBad      int
}

// apply overlays o. What it says is checked with the rest of the options.
func (f FormFlags) apply(o *mapreduce.Options) error {
	if f.Format != "" {
		o.Format = format.Format(f.Format)
	}
	if f.OutputFormat != "" {
		o.OutputFormat = format.Format(f.OutputFormat)
	}
	if f.Compress != "" {
		o.Compress = codec.Codec(f.Compress)
	}
	if f.Partitioner != "" {
		o.Partitioner = mapreduce.Partitioner(f.Partitioner)
	}
	if f.Maps != 0 {
		o.Maps = f.Maps
	}
	if f.SkipBad != 0 {
		o.SkipBad = f.SkipBad
	}
	if f.Key == "" {
		return nil
	}
	key, err := ParseKey(f.Key)
	o.Key = key
	return err
}

// ParseKey reads how keys are sorted and grouped: group=N, numeric and reverse with commas between them, and
// separator=TEXT, which takes what follows. It fails with errs.Invalid.
func ParseKey(text string) (functions.KeyOrder, error) {
	var o functions.KeyOrder
	for rest := text; rest != ""; {
		if separator, ok := strings.CutPrefix(rest, "separator="); ok && separator != "" {
			o.Separator = separator
			return o, nil
		}
		var word string
		word, rest, _ = strings.Cut(rest, ",")
		fields, isGroup := strings.CutPrefix(word, "group=")
		n, err := strconv.Atoi(fields)
		switch {
		case isGroup && err == nil && n >= 0 && n <= maxGroup:
			o.Group = n
		case word == "numeric":
			o.Numeric = true
		case word == "reverse":
			o.Reverse = true
		default:
			return o, say.Errorf(errs.Invalid,
				"--key has %q; say group=N, numeric, reverse or separator=TEXT, with commas between them", word)
		}
	}
	return o, nil
}

// maxGroup is the most fields that make a group, as in the schema.
const maxGroup = 1000
