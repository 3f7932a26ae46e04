//go:build unix && !linux

package proc

import "syscall"

// Without a parent-death signal children survive when this process is killed by SIGKILL; they end when they notice.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit cannot wait without reaping here, so the rest of a group is only killed together with its leader.
func awaitExit(int) {}
