package group

import "github.com/seed3322913c/runner/infra/errs"

func notYet(op string) error { return errs.Errorf(op, errs.Unsupported, nil, "not built yet") }
