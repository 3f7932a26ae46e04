//go:build !linux

package doctor

import "github.com/seed3322913c/runner/infra/errs"

func fileSystem(string) (kind string, free int64, err error) {
	return "", 0, errs.Errorf("doctor.Disk", errs.Unsupported, nil, "not looked at on this system")
}

func machineMemory() (total, free int64, err error) {
	return 0, 0, errs.Errorf("doctor.Memory", errs.Unsupported, nil, "not looked at on this system")
}

func hugePages() Finding {
	return Finding{What: "hugepages", Grade: OK, Says: "not asked for on this system"}
}

func openFiles() Finding {
	return Finding{What: "files", Grade: OK, Says: "not looked at on this system"}
}
