package builtin

import "github.com/seed3322913c/runner/functions"

// function is a row of the table.
type function struct {
	Info
	raw func(functions.Params) (functions.Raw, error) // has what Info.Roles says, and perhaps more
}

// table lists the functions in the order of their names.
func table() []function {
	return []function{
		{
			Info{"aggregate", "one number for each key of key<TAB>number lines",
				roles(mapper, combiner, reducer), aggregateParams()},
			newAggregate,
		},
		{
			Info{"count", "how many values each key has", roles(reducer), nil}, // no combiner: it would count counts
			always(functions.Raw{Reducer: func() functions.Reducer { return count{} }}),
		},
		{
			Info{"grep", "each match of a regular expression, with the number 1", roles(mapper), grepParams()},
			newGrep,
		},
		{
			Info{"identity", "passes everything through", roles(mapper, reducer), nil},
			always(functions.Raw{
				Mapper:  func() functions.Mapper { return identity{} },
				Reducer: func() functions.Reducer { return identity{} },
			}),
		},
		fold(functions.FoldMax, "the greatest integer of each key"),
		fold(functions.FoldMin, "the smallest integer of each key"),
		{
			Info{"sort", "makes the line the key, and puts it out as often as it came in", roles(mapper, reducer), nil},
			always(functions.Raw{
				Mapper:  func() functions.Mapper { return lineKey{} },
				Reducer: func() functions.Reducer { return keyOnly{} },
			}),
		},
		fold(functions.FoldSum, "the sum of the integers of each key"),
		{
			Info{"teragen", "passes generated rows through", roles(mapper), teraGenParams()},
			newTeraGen,
		},
		{
			Info{"terasort", "makes the first 10 bytes of rows of 100 the key", roles(mapper, reducer), nil},
			always(functions.Raw{
				Mapper:  func() functions.Mapper { return teraSort{} },
				Reducer: func() functions.Reducer { return teraSort{} },
			}),
		},
		{
			Info{"teravalidate", "fails unless rows are in order, and adds up their checksums", roles(mapper, reducer), nil},
			always(functions.Raw{
				Mapper:  func() functions.Mapper { return &teraOrder{} },
				Reducer: func() functions.Reducer { return &teraReport{} },
			}),
		},
		{
			Info{"wordcount", "each word (a run of bytes without ASCII white space), with the number 1", roles(mapper), nil},
			always(functions.Raw{Mapper: func() functions.Mapper { return wordCount{} }}),
		},
		{
			Info{"wordmean", "how many words there are, their characters, and the mean length",
				roles(mapper, combiner, reducer), nil},
			always(wordMeanRaw()),
		},
	}
}

func roles(names ...string) []string { return names }

func fold(kind functions.FoldKind, doc string) function {
	f := func() functions.Reducer { return functions.NewInt64Fold(kind) }
	return function{
		Info{kind.String(), doc, roles(combiner, reducer), nil},
		always(functions.Raw{Combiner: f, Reducer: f}),
	}
}

// always is the function that takes no parameters.
func always(raw functions.Raw) func(functions.Params) (functions.Raw, error) {
	return func(functions.Params) (functions.Raw, error) { return raw, nil }
}

// Jobs returns all jobs, in the order of their names.
func Jobs() []JobTemplate {
	return []JobTemplate{
		{
			Name: "aggregate", Doc: "sum, min, max, mean or count of the numbers of each key in key<TAB>number lines",
			Roles: Roles{Mapper: builtin("aggregate"), Combiner: builtin("aggregate"), Reducer: builtin("aggregate")},
			Examples: []string{
				"runner run aggregate --input sales.tsv --output out/sales",
				"runner run aggregate --input temperatures/ --output out/mean --set op=mean --set type=float",
			},
		},
		{
			Name: "grep", Doc: "counts each different match of a regular expression",
			Roles: Roles{Mapper: builtin("grep"), Combiner: builtin("sum"), Reducer: builtin("sum")},
			Examples: []string{
				`runner run grep --input logs/ --output out/errors --set 'pattern=ERROR [a-z]+'`,
				`runner run grep --input logs/ --output out/users --set 'pattern=user=(\w+)' --set group=1`,
			},
		},
		{
			Name: "sort", Doc: "sorts lines by their bytes, across all parts",
			Roles: Roles{Mapper: builtin("sort"), Reducer: builtin("sort")}, TotalOrder: true,
			Examples: []string{"runner run sort --input lines.txt --output out/sorted"},
		},
		{
			Name: "teragen", Doc: "makes the rows that TeraSort sorts, as Hadoop's TeraGen does",
			Roles: Roles{Mapper: builtin("teragen")}, Input: "teragen://rows/{records}",
			Examples: []string{"runner run teragen --set records=10000000 --output tera/in"},
		},
		{
			Name: "terasort", Doc: "sorts rows of 100 bytes by their first 10, across all parts",
			Roles: Roles{Mapper: builtin("terasort"), Reducer: builtin("terasort")}, TotalOrder: true,
			Examples: []string{"runner run terasort --input tera/in --output tera/out"},
		},
		{
			Name: "teravalidate", Doc: "fails unless the rows of all parts are in order, and adds up their checksums",
			Roles: Roles{Mapper: builtin("teravalidate"), Reducer: builtin("teravalidate")}, Reducers: 1,
			Output:   "{input}-validated",
			Examples: []string{"runner run teravalidate --input tera/out"},
		},
		{
			Name: "wordcount", Doc: "counts each different word",
			Roles:    Roles{Mapper: builtin("wordcount"), Combiner: builtin("sum"), Reducer: builtin("sum")},
			Examples: []string{"runner run wordcount --input books/ --output out/words"},
		},
		{
			Name: "wordmean", Doc: "counts words and their characters, and gives the mean length of a word",
			Roles: Roles{Mapper: builtin("wordmean"), Combiner: builtin("wordmean"), Reducer: builtin("wordmean")}, Reducers: 1,
			Examples: []string{"runner run wordmean --input books/ --output out/mean"},
		},
	}
}

func builtin(name string) functions.Ref { return functions.Ref{Builtin: name} }
