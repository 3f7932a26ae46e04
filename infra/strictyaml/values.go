package strictyaml

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// ParseTime reads a time as people write it: 90s, 10m, 1h30m; a millisecond or more.
func ParseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return 0, errs.Errorf("strictyaml.ParseTime", errs.Invalid, nil,
			"%q is not a time; write it as in 90s, 10m or 1h30m", text)
	}
	return d, nil
}

// ParseSize reads a number of bytes as people write it: 1048576, 256MiB, 1GiB, 1.5 GB. KiB, MiB, GiB and TiB are powers
// of 1024, KB, MB, GB and TB powers of 1000; the B may be left out.
func ParseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "KMGTiB ")
	unit := strings.TrimSuffix(strings.TrimSpace(text[len(number):]), "B")
	scale, known := map[string]float64{
		"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
	}[unit]
	v, err := strconv.ParseFloat(number, 64)
	if bytes := v * scale; known && err == nil && bytes >= 1 && bytes < math.MaxInt64 && strings.Trim(number,
		"0123456789.") == "" {
		return int64(bytes), nil
	}
	return 0, errs.Errorf("strictyaml.ParseSize", errs.Invalid, nil,
		"%q is not a size; write it as in 256MiB, 1GiB or 1GB", text)
}
