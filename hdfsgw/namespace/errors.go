package namespace

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/seed3322913c/runner/infra/errs"
)

// Class is a Java exception that Hadoop's clients know. The numbers are in the journal: new ones go to the end.
type Class uint8

// The classes, by their simple names.
const (
	IOException Class = iota
	FileNotFound
	FileAlreadyExists
	ParentNotDirectory
	PathIsNotEmptyDirectory
	InvalidPath
	AccessControl
	Authorization
	Standby
	Retriable
	AlreadyBeingCreated
	NSQuotaExceeded
	DSQuotaExceeded
	Snapshot
	SnapshotAccessControl
	LeaseExpired
	XAttrNotFound
	ACL
	IllegalArgument
	HadoopIllegalArgument
	UnsupportedOperation
	Security
	InvalidToken
	UnsupportedAction
	NoECPolicySet
	numClasses
)

// classes is the one place that says what a class is called, how HTTP tells it, and what kind of trouble it is to us.
var classes = [numClasses]struct {
	name string
	code int
	kind errs.Kind
}{
	IOException:             {"java.io.IOException", http.StatusForbidden, errs.Other},
	FileNotFound:            {"java.io.FileNotFoundException", http.StatusNotFound, errs.NotFound},
	FileAlreadyExists:       {"org.apache.hadoop.fs.FileAlreadyExistsException", http.StatusForbidden, errs.Exist},
	ParentNotDirectory:      {"org.apache.hadoop.fs.ParentNotDirectoryException", http.StatusForbidden, errs.Invalid},
	PathIsNotEmptyDirectory: {"org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", http.StatusForbidden, errs.Exist},
	InvalidPath:             {"org.apache.hadoop.fs.InvalidPathException", http.StatusBadRequest, errs.Invalid},
	AccessControl:           {"org.apache.hadoop.security.AccessControlException", http.StatusForbidden, errs.Permission},
	Authorization: {"org.apache.hadoop.security.authorize.AuthorizationException", http.StatusForbidden,
		errs.Permission},
	Standby:   {"org.apache.hadoop.ipc.StandbyException", http.StatusForbidden, errs.Unavailable},
	Retriable: {"org.apache.hadoop.ipc.RetriableException", http.StatusForbidden, errs.Unavailable},
	AlreadyBeingCreated: {"org.apache.hadoop.hdfs.protocol.AlreadyBeingCreatedException", http.StatusForbidden,
		errs.Exist},
	NSQuotaExceeded: {"org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", http.StatusForbidden, errs.Exhausted},
	DSQuotaExceeded: {"org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", http.StatusForbidden, errs.Exhausted},
	Snapshot:        {"org.apache.hadoop.hdfs.protocol.SnapshotException", http.StatusForbidden, errs.Invalid},
	SnapshotAccessControl: {"org.apache.hadoop.hdfs.protocol.SnapshotAccessControlException", http.StatusForbidden,
		errs.Permission},
	LeaseExpired: {"org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException", http.StatusForbidden,
		errs.Fenced},
	XAttrNotFound:         {"org.apache.hadoop.hdfs.protocol.XAttrNotFoundException", http.StatusForbidden, errs.NotFound},
	ACL:                   {"org.apache.hadoop.hdfs.protocol.AclException", http.StatusForbidden, errs.Invalid},
	IllegalArgument:       {"java.lang.IllegalArgumentException", http.StatusBadRequest, errs.Invalid},
	HadoopIllegalArgument: {"org.apache.hadoop.HadoopIllegalArgumentException", http.StatusBadRequest, errs.Invalid},
	UnsupportedOperation:  {"java.lang.UnsupportedOperationException", http.StatusBadRequest, errs.Unsupported},
	InvalidToken: {"org.apache.hadoop.security.token.SecretManager$InvalidToken", http.StatusForbidden,
		errs.Permission},
	UnsupportedAction: {"org.apache.hadoop.hdfs.server.namenode.UnsupportedActionException", http.StatusForbidden,
		errs.Unsupported},
	NoECPolicySet: {"org.apache.hadoop.hdfs.protocol.NoECPolicySetException", http.StatusForbidden, errs.NotFound},
	Security:      {"java.lang.SecurityException", http.StatusForbidden, errs.Permission},
}

// JavaName returns the fully qualified name, from which clients rebuild the exception.
func (c Class) JavaName() string { return classes[c].name }

// ParseClass is the inverse of JavaName.
func ParseClass(java string) (Class, bool) {
	for c, known := range classes {
		if known.name == java {
			return Class(c), true
		}
	}
	return IOException, false
}

// HTTPStatus returns the status code with which WebHDFS tells the class.
func (c Class) HTTPStatus() int { return classes[c].code }

// Error is a refusal as Hadoop words it. It is an outcome like any other: it is repeated when the log is replayed.
type Error struct {
	Class   Class
	Message string
}

// Error returns Hadoop's message alone, which is what clients show.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is the errs.Kind that the class stands for.
func (e *Error) Is(target error) bool {
	k, ok := target.(errs.Kind)
	return ok && k == classes[e.Class].kind
}

// As lets errs.KindOf find the kind.
func (e *Error) As(target any) bool {
	k, ok := target.(*errs.Kind)
	if ok {
		*k = classes[e.Class].kind
	}
	return ok
}

// Refuse makes an Error.
func Refuse(c Class, format string, args ...any) error {
	return &Error{Class: c, Message: fmt.Sprintf(format, args...)}
}

// Refused reports whether an error says that an operation was not done, for sure. That nobody leads does not: who led
// before may have done it.
func Refused(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok && !errors.Is(err, errs.Unavailable)
}

// isOf reports whether an error is a refusal of a class.
func isOf(err error, c Class) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Class == c
}

// AsError words any error for an HDFS client.
func AsError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errs.Unavailable):
		return &Error{Class: Retriable, Message: errs.Cause(err)}
	}
	return &Error{Class: IOException, Message: errs.Cause(err)}
}
