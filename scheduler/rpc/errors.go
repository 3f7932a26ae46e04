package rpc

import (
	"errors"
	"io"
	"path"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed3322913c/runner/infra/errs"
)

// kinds gives every kind a code of its own, so that nothing is lost either way.
var kinds = map[errs.Kind]codes.Code{
	errs.Other:       codes.Unknown,
	errs.Invalid:     codes.InvalidArgument,
	errs.NotFound:    codes.NotFound,
	errs.Exist:       codes.AlreadyExists,
	errs.Permission:  codes.PermissionDenied,
	errs.Unsupported: codes.Unimplemented,
	errs.Unavailable: codes.Unavailable,
	errs.Exhausted:   codes.ResourceExhausted,
	errs.Corrupt:     codes.DataLoss,
	errs.Fenced:      codes.FailedPrecondition,
	errs.Canceled:    codes.Canceled,
	errs.Failed:      codes.Aborted,
	errs.Internal:    codes.Internal,
}

// toStatus makes a server's error fit for the wire.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(kinds[errs.KindOf(err)], err.Error())
}

// fromStatus makes a caller's error of what came over the wire, or was found out by gRPC itself.
func fromStatus(method string, err error) error {
	if err == nil || errors.Is(err, io.EOF) { // io.EOF is how a stream ends well
		return err
	}
	st, _ := status.FromError(err)
	kind := errs.Other
	for k, c := range kinds {
		if c == st.Code() {
			kind = k
		}
	}
	if st.Code() == codes.DeadlineExceeded {
		kind = errs.Canceled
	}
	return errs.Errorf("rpc."+path.Base(method), kind, nil, "%s", st.Message())
}
