package functions_test

import (
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
)

func TestProtectTellsThePlaceInTheUsersCode(t *testing.T) {
	var none []int
	_, _, line, _ := runtime.Caller(0)
	for i, call := range []func() error{
		func() error { panic("mine") },                                           // line + 2
		func() error { _ = none[len(none)]; return nil },                         // a trap of the runtime
		func() error { _ = strings.Repeat("x", -1); return nil },                 // in the standard library
		func() error { _, err := functions.ParseValueKind("x"); panic(err) },     // after a call that returned
		func() error { functions.NewInt64Fold(functions.FoldOther); return nil }, // in package functions
	} {
		err := functions.Protect(call)
		var p *functions.Panic
		if !errors.As(err, &p) {
			t.Errorf("call %d: %v is no panic", i, err)
			continue
		}
		if want := "protect_test.go:" + strconv.Itoa(line+2+i); p.Where != want {
			t.Errorf("call %d: panic at %s, want %s", i, p.Where, want)
		}
		if !strings.HasPrefix(err.Error(), "panic: ") || !strings.Contains(string(p.Stack), "protect_test.go") {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestProtectPassesErrorsOn(t *testing.T) {
	if err := functions.Protect(func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := functions.Protect(func() error { return io.EOF }); err != io.EOF {
		t.Error(err)
	}
	if err := functions.Protect(func() error { panic(io.EOF) }); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
