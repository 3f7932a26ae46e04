package rows

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	layout "github.com/parquet-go/parquet-go/format"
)

const (
	daySeconds = 86400
	julian1970 = 2440588 // the day of 1970-01-01 in INT96
	dateLayout = "2006-01-02"
	timeLayout = "2006-01-02T15:04:05.999999999"
)

// appendValue appends a value as JSON.
func appendValue(b []byte, t parquet.Type, v parquet.Value) ([]byte, error) {
	if v.IsNull() {
		return append(b, "null"...), nil
	}
	var logical layout.LogicalTypeValue
	if l := t.LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *layout.DecimalType:
		return append(b, decimal(unscaled(v), int(l.Scale))...), nil
	case *layout.DateType:
		return time.Unix(int64(v.Int32())*daySeconds, 0).UTC().AppendFormat(b, `"`+dateLayout+`"`), nil
	case *layout.TimestampType:
		return appendTime(b, timestamp(v.Int64(), l), l.IsAdjustedToUTC), nil
	case *layout.StringType, *layout.EnumType, *layout.JsonType:
		return appendAsJSON(b, string(v.ByteArray()))
	case *layout.IntType:
		if !l.IsSigned && v.Kind() == parquet.Int32 {
			return strconv.AppendUint(b, uint64(v.Uint32()), 10), nil
		} else if !l.IsSigned {
			return strconv.AppendUint(b, v.Uint64(), 10), nil
		}
	}
	return appendPlain(b, v)
}

// appendPlain appends a value of a column that says nothing of its meaning.
func appendPlain(b []byte, v parquet.Value) ([]byte, error) {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(b, v.Boolean()), nil
	case parquet.Int32:
		return strconv.AppendInt(b, int64(v.Int32()), 10), nil
	case parquet.Int64:
		return strconv.AppendInt(b, v.Int64(), 10), nil
	case parquet.Int96:
		n := v.Int96()
		nanos := int64(uint64(n[1])<<32 | uint64(n[0]))
		return appendTime(b, time.Unix((int64(n[2])-julian1970)*daySeconds, nanos), true), nil
	case parquet.Float:
		return appendFloat(b, float64(v.Float()), 32), nil
	case parquet.Double:
		return appendFloat(b, v.Double(), 64), nil
	}
	return appendAsJSON(b, v.ByteArray())
}

func appendAsJSON(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(b, text...), err
}

func appendFloat(b []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) { // JSON has no numbers for them
		return strconv.AppendQuote(b, strconv.FormatFloat(f, 'g', -1, bits))
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}

func appendTime(b []byte, t time.Time, utc bool) []byte {
	b = t.UTC().AppendFormat(b, `"`+timeLayout)
	if utc {
		b = append(b, 'Z')
	}
	return append(b, '"')
}

// timestamp returns the time that is n units after the epoch. time.Unix takes seconds, so that no time overflows.
func timestamp(n int64, t *layout.TimestampType) time.Time {
	unit := int64(1)
	if t.Unit.Value != nil {
		unit = int64(t.Unit.Value.Duration())
	}
	second := int64(time.Second) / unit
	return time.Unix(n/second, n%second*unit)
}

// unscaled returns the digits of a decimal: bytes are big-endian, in two's complement.
func unscaled(v parquet.Value) *big.Int {
	switch v.Kind() {
	case parquet.Int32:
		return big.NewInt(int64(v.Int32()))
	case parquet.Int64:
		return big.NewInt(v.Int64())
	}
	b := v.ByteArray()
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// maxScale bounds the zeros that a damaged file can ask for.
const maxScale = 1000

// decimal writes n / 10^scale.
func decimal(n *big.Int, scale int) string {
	digits := new(big.Int).Abs(n).String()
	if scale = min(scale, maxScale); scale > 0 {
		if missing := scale + 1 - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
