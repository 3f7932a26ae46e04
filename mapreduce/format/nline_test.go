package format

import (
	"bufio"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestSkipLines(t *testing.T) {
	long := strings.Repeat("x", 100) // more than the buffer holds
	in := bufio.NewReaderSize(strings.NewReader("a\n\n"+long+"\nb\nend"), 16)
	for _, want := range []int64{3, 103, 3, 0} { // "a" and "", long and "b", "end", the end
		if got, err := SkipLines(in, 2); err != nil || got != want {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		f    Format
		set  functions.Params
		want int // 0: a mistake
	}{
		{NLine, nil, 1}, {NLine, functions.Params{LinesPerMap: "7"}, 7}, {NLine, functions.Params{LinesPerMap: "0"}, 0},
		{NLine, functions.Params{LinesPerMap: "many"}, 0}, {NLine, functions.Params{LinesPerMap: "99999999999"}, 0},
		{FixedLength, functions.Params{RecordLength: "100"}, 100}, {FixedLength, nil, 0},
		{FixedLength, functions.Params{RecordLength: "99999999"}, 0},
	} {
		got, err := c.f.Number(c.set)
		if got != c.want || (c.want == 0) != (errs.KindOf(err) == errs.Invalid) {
			t.Errorf("%s %v: %d, %v", c.f, c.set, got, err)
		}
	}
	if n, err := CSV.Number(functions.Params{LinesPerMap: "x"}); n != 0 || err != nil {
		t.Error("another format looks at the parameter", n, err)
	}
}
