//go:build !linux

package enginetest

import "syscall"

// dieWithParent does nothing where the kernel has no such wish.
func dieWithParent() *syscall.SysProcAttr { return nil }
