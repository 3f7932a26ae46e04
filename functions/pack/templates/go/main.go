// Package main is a function for Runner. It needs nothing but Go: runner.go speaks to the host.
package main

import (
	"encoding/json"
	"fmt"
)

// handle answers one event. It is called again and again by the same process, one event at a time.
func handle(in Invocation, event json.RawMessage) (any, error) {
	var who struct{ Name string }
	if err := json.Unmarshal(event, &who); err != nil {
		return nil, Invalid(err) // which is not tried again
	}
	if who.Name == "" {
		who.Name = "world"
	}
	in.Logf("greeting %s", who.Name)
	return map[string]string{"greeting": fmt.Sprintf("Hello, %s!", who.Name)}, nil
}

func main() { Serve(handle) }
