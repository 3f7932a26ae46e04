package delegation

import (
	"bytes"
	"encoding/base64"
	"math"
	"testing"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

func TestWhatWasIssuedIsKnown(t *testing.T) {
	g := namespace.Grant{Number: 300, Owner: "alice", Renewer: "yarn", Real: "oozie", Issued: 1.7e12, Max: 1.8e12}
	token := Issue("secret", g, "gw:9870")
	if n, err := Number("secret", token); n != 300 || err != nil {
		t.Error(n, err)
	}
	if _, err := Number("other", token); err == nil {
		t.Error("another secret is as good")
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	// Kind and service are what clients change, so nothing is proven about them.
	for i := range len(raw) - len(Kind) - len("gw:9870") - 2 {
		other := bytes.Clone(raw)
		other[i] ^= 1
		if _, err := Number("secret", base64.RawURLEncoding.EncodeToString(other)); err == nil {
			t.Errorf("byte %d may be another", i)
		}
	}
}

// TestNumbers holds bytes that Java's WritableUtils writes.
func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "\x00", 127: "\x7f", -112: "\x90", 128: "\x8f\x80", 255: "\x8f\xff",
		256: "\x8e\x01\x00", -113: "\x87\x70", -256: "\x87\xff", -257: "\x86\x01\x00",
		math.MaxInt64: "\x88\x7f\xff\xff\xff\xff\xff\xff\xff", math.MinInt64: "\x80\x7f\xff\xff\xff\xff\xff\xff\xff"} {
		got := appendNumber(nil, n)
		if string(got) != want {
			t.Errorf("%d: %x, not %x", n, got, want)
		}
		r := &reader{rest: got}
		if back := r.number(); back != n || r.failed || len(r.rest) > 0 {
			t.Errorf("%d: read as %d", n, back)
		}
	}
}

func FuzzNumber(f *testing.F) {
	f.Add(Issue("s", namespace.Grant{Number: 1, Owner: "a"}, ""))
	f.Add("")
	f.Add("j____w")
	f.Fuzz(func(t *testing.T, token string) {
		if n, err := Number("another", token); err == nil {
			t.Errorf("%q is token %d", token, n)
		}
		if parsed, err := Parse(token); err == nil {
			_, _ = NumberIn(parsed.Identifier) // which anybody may have made
		}
		r := &reader{rest: []byte(token)}
		for !r.failed && len(r.rest) > 0 {
			r.text()
		}
	})
}
