package data

import (
	"strconv"
	"unsafe"
)

// powers are those that a float64 has exactly.
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// number reads the decimal number at the start of b and returns how many bytes it has; 0 if there is none. What it
// returns is the nearest float64, as strconv has it: if digits and power of ten are exact, one operation rounds once;
// other numbers are left to strconv.
func number(b []byte) (v float64, n int) {
	i, negative := 0, false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		negative = b[i] == '-'
		i++
	}
	var digits uint64
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		digits = digits*10 + uint64(b[i]-'0')
		i++
	}
	count, power := i-start, 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && b[i]-'0' <= 9 {
			digits = digits*10 + uint64(b[i]-'0')
			i++
		}
		power = point - i
		count -= power
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		e, n := exponent(b[i+1:])
		if n == 0 {
			return slow(b)
		}
		power, i = power+e, i+1+n
	}
	if count == 0 || count > 18 || digits >= 1<<53 || power < -22 || power > 22 {
		return slow(b)
	}
	if v = float64(digits); power < 0 {
		v /= powers[-power]
	} else if power > 0 {
		v *= powers[power]
	}
	if negative {
		v = -v
	}
	return v, i
}

// exponent reads a power of ten of at most three digits and returns how many bytes it has; 0 if there is none, or more.
func exponent(b []byte) (e, n int) {
	i := 0
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		i++
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 && i-start < 4 {
		e = e*10 + int(b[i]-'0')
		i++
	}
	if i == start || i-start == 4 {
		return 0, 0
	}
	if b[0] == '-' {
		e = -e
	}
	return e, i
}

// slow is number for the rest: many digits, high powers, and what is no number.
func slow(b []byte) (float64, int) {
	n := 0
	for n < len(b) && numeric(b[n]) {
		n++
	}
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), n), 64)
	if err != nil {
		return 0, 0
	}
	return v, n
}

func numeric(c byte) bool {
	return c-'0' <= 9 || c == '.' || c == '-' || c == '+' || c|0x20 == 'e'
}
