package child

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// Describe asks a program what functions it has. A program that does not answer as it should, or not soon, is Invalid.
func Describe(ctx context.Context, cmd Command) (functions.Package, error) {
	const op, patience = "child.Describe", 10 * time.Second
	var pkg functions.Package
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := start(limited, cmd, wire.EnvDescribe)
	if err != nil {
		return pkg, err
	}
	_ = p.Stdin.Close() // the program is told nothing
	answer, err := io.ReadAll(io.LimitReader(p.Stdout, wire.MaxControl))
	if err == nil {
		p.Await(process.Grace)
	}
	p.Kill()
	<-p.Gone
	_ = p.Stdout.Close() // all that matters was read
	switch {
	case ctx.Err() != nil:
		return pkg, errs.E(op, errs.Canceled, p.Name, context.Cause(ctx))
	case limited.Err() != nil:
		return pkg, errs.Errorf(op, errs.Invalid, p.Name, "it did not say within %v what functions it has", patience)
	case err != nil:
		return pkg, errs.E(op, errs.Other, p.Name, err)
	case !p.Success():
		return pkg, errs.E(op, errs.Invalid, p.Name, p.Ended())
	}
	text := bytes.TrimSpace(answer)
	text = text[bytes.LastIndexByte(text, '\n')+1:] // what the program prints before is its own affair
	if err := json.Unmarshal(text, &pkg); err != nil || len(pkg.Functions)+len(pkg.Programs) == 0 {
		return pkg, errs.Errorf(op, errs.Invalid, p.Name,
			"it does not say what functions it has; does its main function begin with functions.Main?")
	}
	return pkg, nil
}
