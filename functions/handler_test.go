package functions

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

type order struct{ Item string }

var kitchen = []Raw{
	Answer[order, string]{Name: "cook", Handle: func(ctx context.Context, o order) (string, error) {
		in := InvocationOf(ctx)
		in.Logf("cooking %s, attempt %d", o.Item, in.Attempt)
		switch o.Item {
		case "poison":
			panic("no")
		case "stone":
			return "", errs.Errorf("", errs.Invalid, nil, "stones are not cooked")
		case "soup":
			return "", errors.New("the stove is off")
		case "slow":
			<-ctx.Done()
			return "", ctx.Err()
		}
		return "fried " + o.Item, nil
	}}.Raw(),
	MapReduce[string, int64]{Name: "map", Map: func([]byte, func(string, int64)) error { return nil }}.Raw(),
}

// ask hands events to a handler, and returns its frames as text.
func ask(t *testing.T, calls ...string) string {
	t.Helper()
	var in, out, log bytes.Buffer
	in.Write(wire.HelloFrame(wire.Version))
	for _, event := range calls {
		name, event, _ := strings.Cut(event, " ")
		call, err := wire.JSONFrame(wire.Invoke, wire.Call{ID: "i", Function: name, Attempt: 2, Deadline: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		in.Write(call)
		in.Write(wire.Frame(wire.Value, []byte(event)))
	}
	if err := answer(&in, &out, &log, kitchen); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(&out)
	if _, err := wire.ReadHello(r); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for {
		kind, payload, err := wire.Read(r, nil)
		if errors.Is(err, io.EOF) {
			return said.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(payload), "\n")
		if !strings.HasPrefix(line, "goroutine") {
			said.WriteString(string(kind) + " " + line + "\n")
		}
	}
}

func TestHandler(t *testing.T) {
	for _, test := range []struct{ call, want string }{
		{`cook {"Item":"egg"}`, "S cooking egg, attempt 2\nV \"fried egg\"\n"},
		{`cook {"Item":"stone"}`,
			"S cooking stone, attempt 2\nX {\"message\":\"stones are not cooked\",\"kind\":\"invalid\"}\n"},
		{`cook {"Item":"soup"}`, "S cooking soup, attempt 2\nX {\"message\":\"the stove is off\",\"kind\":\"error\"}\n"},
		{`cook {"Item":"slow"}`,
			"S cooking slow, attempt 2\nX {\"message\":\"context deadline exceeded\",\"kind\":\"canceled\"}\n"},
		{`cook nonsense`,
			"X {\"message\":\"the event is not as the function wants it: invalid character 'o' in literal null " +
				"(expecting 'u')\",\"kind\":\"invalid\"}\n"},
		{`cook `, "X {\"message\":\"the event is not as the function wants it: " +
			"unexpected end of JSON input\",\"kind\":\"invalid\"}\n"},
		{`cock {}`, "X {\"message\":\"there is no function \\\"cock\\\"; " +
			"did you mean \\\"cook\\\"?\",\"kind\":\"invalid\"}\n"},
		{`map {}`, "X {\"message\":\"function \\\"map\\\" handles no events\",\"kind\":\"invalid\"}\n"},
	} {
		if got := ask(t, test.call); got != test.want {
			t.Errorf("%s:\ngot  %swant %s", test.call, got, test.want)
		}
	}
	if got := ask(t, `cook {"Item":"poison"}`, `cook {"Item":"ham"}`); !strings.Contains(got, `{"message":"panic: no"`) ||
		!strings.HasSuffix(got, "V \"fried ham\"\n") {
		t.Errorf("a panic ends more than its event:\n%s", got)
	}
}

func TestHandlersAreDescribed(t *testing.T) {
	pkg, err := describe(kitchen)
	if err != nil || !pkg.Functions[0].Handler || pkg.Functions[1].Handler {
		t.Errorf("%v: %+v", err, pkg)
	}
	both := kitchen[1]
	both.Handler = kitchen[0].Handler
	if _, err := describe([]Raw{both}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a function that maps and handles: %v", err)
	}
}
