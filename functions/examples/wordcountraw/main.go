// Wordcountraw counts words over bytes: no string is made, and lines need not be told apart.
//
//	go build -o wc ./functions/examples/wordcountraw
//	runner run ./wc --input books/ --output out/words
package main

import "github.com/seed3322913c/runner/functions"

func main() { functions.Main(wordCount()) }

func wordCount() functions.Raw {
	sum := func() functions.Reducer { return functions.NewInt64Fold(functions.FoldSum) }
	return functions.Raw{
		Doc:      "counts words, fast",
		Mapper:   func() functions.Mapper { return words{} },
		Combiner: sum,
		Reducer:  sum,
	}
}

// words emits each word with the number 1.
type words struct{}

// ValueKind says that the values are int64, so that nobody encodes them.
func (words) ValueKind() functions.ValueKind { return functions.ValueInt64 }

// Map takes one line.
func (w words) Map(in functions.Record, out functions.Emitter) error {
	_, err := w.MapBatch(in.Value, out)
	return err
}

// MapBatch takes many lines at once.
func (words) MapBatch(lines []byte, out functions.Emitter) (int64, error) {
	to := functions.Int64Out(out)
	for end, start := 0, 0; start < len(lines); start = end + 1 {
		for start < len(lines) && isSpace(lines[start]) {
			start++
		}
		for end = start; end < len(lines) && !isSpace(lines[end]); end++ {
		}
		if start == end {
			break
		}
		if err := to.EmitInt64(lines[start:end], 1); err != nil {
			return 0, err
		}
	}
	return functions.CountLines(lines), nil
}

func isSpace(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }
