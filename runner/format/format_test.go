package format

import (
	"math"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 KB", 1500: "1.5 KB", 999_949: "999.9 KB", 999_950: "1.0 MB", 5_100_000: "5.1 MB",
		51_000_000_000: "51.0 GB", 102_400_000_000: "102.4 GB", 1<<63 - 1: "9.2 EB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		n    int64
		d    time.Duration
		want string
	}{
		{5_100_000, 0, ""}, {0, time.Second, ""}, {210_000_000, time.Second, "210 MB/s"}, {1_900_000_000, time.Second,
			"1.9 GB/s"},
		{9_960_000, time.Second, "10 MB/s"}, {500, time.Second, "500 B/s"}, {999_960, time.Second, "1.0 MB/s"},
	} {
		if got := Rate(c.n, c.d); got != c.want {
			t.Errorf("Rate(%d, %v) = %q, want %q", c.n, c.d, got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "0 ms", 0: "0 ms", 8 * time.Millisecond: "8 ms", 400 * time.Millisecond: "0.4 s",
		14200 * time.Millisecond: "14.2 s",
		59940 * time.Millisecond: "59.9 s", 59960 * time.Millisecond: "1m00s", 62 * time.Second: "1m02s",
		3599700 * time.Millisecond: "1h00m", 192 * time.Minute: "3h12m", 52 * time.Hour: "2d04h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 41284: "41,284", 893412: "893,412", 1234567890: "1,234,567,890", -1234: "-1,234",
		-1 << 63: "-9,223,372,036,854,775,808",
	} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	if Plural(1, "map") != "1 map" || Plural(0, "map") != "0 maps" || Plural(1500, "map") != "1,500 maps" {
		t.Error("Plural is wrong")
	}
}

func TestCurve(t *testing.T) {
	for _, c := range []struct {
		values []float64
		width  int
		want   string
	}{
		{nil, 8, ""},
		{[]float64{1}, 8, "▁"},
		{[]float64{3, 3, 3}, 8, "▁▁▁"},
		{[]float64{7, 6, 5, 4, 3, 2, 1}, 8, "▇▆▅▄▃▂▁"},
		{[]float64{9, 5, 3, 1, 1, 1, 1, 1}, 4, "▇▂▁▁"},
		{[]float64{math.NaN(), 1, math.Inf(1), 2}, 8, "▁▇"},
		{[]float64{math.MaxFloat64, -math.MaxFloat64}, 2, "▇▁"},
	} {
		if got := Curve(c.values, c.width); got != c.want {
			t.Errorf("%v in %d cells: %s, want %s", c.values, c.width, got, c.want)
		}
	}
}

func TestTrend(t *testing.T) {
	for want, values := range map[string][]float64{
		"": nil, "0.5": {0.5}, "0.6931 ▇▄▁ 0.1": {0.69314718, 0.4, 0.1}, "1e+20 ▇▁ -12,346": {1e20, -12345.6},
	} {
		if got := Trend(values, 16); got != want {
			t.Errorf("%v: %q, want %q", values, got, want)
		}
	}
}
