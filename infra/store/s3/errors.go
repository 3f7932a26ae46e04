package s3

import (
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// failed gives an error of the SDK its kind; nil stays nil. What has no answer of the server is taken for passing
// trouble: after Open only the network, or a renewal of credentials, can fail so.
func failed(op string, name store.Name, err error) error {
	if err == nil {
		return nil
	}
	kind := errs.KindOf(err)
	if kind == errs.Other {
		kind = errs.Unavailable
		if code, status := answer(err); code != "" || status != 0 {
			kind = kindOf(code, status)
		}
	}
	return errs.E(op, kind, name, err)
}

// answer returns what the server said: S3's code of the error, and the status of the response. A response may have
// status 200 and an error in it.
func answer(err error) (code string, status int) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	return code, status
}

// conflict is S3's code for a conditional write that met another request to the same key.
const conflict = "ConditionalRequestConflict"

// kindOf tells what kind of error an answer is, by its code if that says more than the status.
func kindOf(code string, status int) errs.Kind {
	switch code {
	case conflict, "OperationAborted", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout",
		"BadDigest", "XAmzContentChecksumMismatch": // the last two: it got damaged on its way, so send it again
		return errs.Unavailable
	case "ExpiredToken", "InvalidToken":
		return errs.Permission
	case "QuotaExceeded", "XMinioStorageFull":
		return errs.Exhausted
	}
	switch status {
	case http.StatusNotFound:
		return errs.NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return errs.Permission
	case http.StatusPreconditionFailed:
		return errs.Exist
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return errs.Unavailable
	case http.StatusNotImplemented:
		return errs.Unsupported
	case http.StatusInsufficientStorage:
		return errs.Exhausted
	}
	if status >= 500 {
		return errs.Unavailable
	}
	return errs.Invalid
}
