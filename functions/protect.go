package functions

import (
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Panic is the error that Protect makes of a panic.
type Panic struct {
	Value any    // what panic was called with
	Where string // file:line of the innermost function that is neither the standard library's nor this package's
	Stack []byte // for the log
}

func (p *Panic) Error() string {
	if p.Where == "" {
		return fmt.Sprintf("panic: %v", p.Value)
	}
	return fmt.Sprintf("panic: %v (%s)", p.Value, p.Where)
}

// Unwrap returns the value if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Protect calls a user's code. A panic in it comes back as a *Panic.
func Protect(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{v, userFrame(), debug.Stack()}
		}
	}()
	return call()
}

// userFrame looks for the user's code in the stack of a panic, from the inside out.
func userFrame() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	panicked, module := false, mainModule()
	for {
		f, more := frames.Next()
		if f.Function == "runtime.gopanic" {
			panicked = true
		} else if panicked && isUser(packageOf(f.Function), module) {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}

// mainModule returns the path of the module that the program was built from, which need not look like a host's name.
func mainModule() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Path
	}
	return ""
}

// packageOf cuts a function's name as the runtime gives it, "example.com/a/b.(*T).Method", down to its package.
func packageOf(function string) string {
	dir, last := "", function
	if i := strings.LastIndexByte(function, '/'); i >= 0 {
		dir, last = function[:i+1], function[i+1:]
	}
	name, _, _ := strings.Cut(last, ".")
	return dir + name
}

// isUser reports whether a package is of the user: not of the standard library, whose paths begin without a dot, and
// not this one.
func isUser(pkg, module string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	switch {
	case pkg == "github.com/seed3322913c/runner/functions":
		return false
	case pkg == "main", module != "" && (pkg == module || strings.HasPrefix(pkg, module+"/")):
		return true
	}
	return strings.Contains(first, ".")
}
