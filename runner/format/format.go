// Package format writes numbers as people read them: sizes and rates in decimal units, times in the two units that
// matter, counts with thousands separators.
//
//	Bytes(5_100_000)          5.1 MB
//	Rate(5_100_000, 0.5s)     10 MB/s
//	Duration(62 * time.Second)  1m02s
//	Count(41284)              41,284
//	Curve(losses, 8)          ▇▅▄▃▂▂▁▁
package format

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bytes writes a number of bytes with one decimal, in units of 1000.
func Bytes(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := scale(float64(n))
	return fmt.Sprintf("%.1f %s", v, unit)
}

// Rate writes bytes per second; nothing is known about a rate over no time, which is "".
func Rate(n int64, d time.Duration) string {
	if d <= 0 || n <= 0 {
		return ""
	}
	perSecond := float64(n) / d.Seconds()
	if perSecond < 1000 {
		return fmt.Sprintf("%.0f B/s", perSecond)
	}
	v, unit := scale(perSecond)
	if v < 9.95 {
		return fmt.Sprintf("%.1f %s/s", v, unit)
	}
	return fmt.Sprintf("%.0f %s/s", v, unit)
}

// scale brings v, 1000 or more, below 1000. What would be rounded up to 1000.0 takes the next unit.
func scale(v float64) (float64, string) {
	units := [...]string{"KB", "MB", "GB", "TB", "PB", "EB"}
	i := 0
	for v /= 1000; v >= 999.95 && i < len(units)-1; i++ {
		v /= 1000
	}
	return v, units[i]
}

// Duration writes a span of time: "8 ms", "0.4 s", "14.2 s", "1m02s", "3h12m", "2d04h".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < 95*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	seconds := int64(d.Round(time.Second) / time.Second)
	switch {
	case seconds < 3600:
		return fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	case seconds < 86400:
		return fmt.Sprintf("%dh%02dm", seconds/3600, seconds/60%60)
	}
	return fmt.Sprintf("%dd%02dh", seconds/86400, seconds/3600%24)
}

// Count writes a whole number with commas between groups of three digits.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = s[:1], s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural writes n and the noun, with an s unless n is 1.
func Plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Curve draws numbers as they change, in at most width cells: each is the mean of its share of them, the lowest ▁, the
// highest ▇. What is no finite number is left out.
func Curve(values []float64, width int) string {
	var finite []float64
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			finite = append(finite, v)
		}
	}
	n := min(width, len(finite))
	cells := make([]float64, n)
	for i := range cells {
		share := finite[i*len(finite)/n : (i+1)*len(finite)/n]
		for _, v := range share {
			cells[i] += v / float64(len(share))
		}
	}
	if n == 0 {
		return ""
	}
	low, high := slices.Min(cells), slices.Max(cells)
	heights := []rune("▁▂▃▄▅▆▇")
	var b strings.Builder
	for _, v := range cells {
		height := 0.0
		if high > low {
			height = (v/2 - low/2) / (high/2 - low/2) * float64(len(heights)-1) // halves, or it may overflow
		}
		b.WriteRune(heights[int(math.Round(height))])
	}
	return b.String()
}

// Trend draws a curve between the first and the last of its numbers: "0.6931 ▇▅▃▂▁ 0.241".
func Trend(values []float64, width int) string {
	switch n := len(values); n {
	case 0:
		return ""
	case 1:
		return Significant(values[0])
	default:
		return Significant(values[0]) + " " + Curve(values, width) + " " + Significant(values[n-1])
	}
}

// Significant writes a number with four digits that matter, or all before its point.
func Significant(v float64) string {
	if a := math.Abs(v); a >= 1000 && a < 1e15 {
		return Count(int64(math.Round(v)))
	}
	return fmt.Sprintf("%.4g", v)
}
