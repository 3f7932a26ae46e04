package functions

import (
	"os"

	"golang.org/x/sys/unix"
)

// TakeStandard takes standard input and output away from the user's code: what it prints goes to standard error, which
// is the log, and what it reads is empty.
func TakeStandard() (in, out *os.File, err error) {
	const firstFree = 3
	inFD, err := unix.FcntlInt(uintptr(unix.Stdin), unix.F_DUPFD_CLOEXEC, firstFree)
	if err != nil {
		return nil, nil, err
	}
	outFD, err := unix.FcntlInt(uintptr(unix.Stdout), unix.F_DUPFD_CLOEXEC, firstFree)
	if err != nil {
		return nil, nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), unix.Stdin); err != nil {
		return nil, nil, err
	}
	if err := unix.Dup2(unix.Stderr, unix.Stdout); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(inFD), "executor"), os.NewFile(uintptr(outFD), "executor"), nil
}
