package doctor

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed3322913c/runner/infra/errs"
)

// fileSystem returns the kind of file system that holds path, and the bytes free for this user.
func fileSystem(path string) (kind string, free int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return "", 0, err
	}
	names := map[uint32]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.F2FS_SUPER_MAGIC: "f2fs", 0x2fc12fc1: "zfs",
		unix.NFS_SUPER_MAGIC:  "nfs",
		unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb2", unix.FUSE_SUPER_MAGIC: "fuse", unix.V9FS_MAGIC: "9p",
		unix.CEPH_SUPER_MAGIC: "ceph", 0x0bd00bd0: "lustre",
	}
	kind, known := names[uint32(fs.Type)]
	if !known {
		kind = fmt.Sprintf("file system %#x", uint32(fs.Type))
	}
	return kind, int64(fs.Bavail) * fs.Bsize, nil
}

// machineMemory returns the bytes of memory, and how many a new process could have.
func machineMemory() (total, free int64, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close() // nothing was written
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var kib int64
		if _, err := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); err == nil {
			total = kib << 10
		}
		if _, err := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); err == nil {
			free = kib << 10
		}
	}
	if total == 0 {
		return 0, 0, errs.Errorf("doctor.Memory", errs.Unsupported, nil, "/proc/meminfo does not say")
	}
	return total, free, lines.Err()
}

func hugePages() Finding {
	const what, path = "hugepages", "/sys/kernel/mm/transparent_hugepage/enabled"
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return Finding{What: what, Grade: Note, Says: "this kernel has none; large tables will be slower"}
	case strings.Contains(string(text), "[never]"):
		return Finding{what, Note, "switched off; large tables will be slower", "echo madvise | sudo tee " + path}
	}
	return Finding{What: what, Grade: OK, Says: "on for those who ask"}
}

func openFiles() Finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{What: "files", Grade: Note, Says: "unknown (" + err.Error() + ")"}
	}
	f := Finding{What: "files", Grade: OK, Says: fmt.Sprintf("%d may be open at a time", limit.Cur)}
	if limit.Cur < wantFiles {
		f.Grade, f.Do = Note, fmt.Sprintf("ulimit -n %d", wantFiles)
	}
	return f
}
