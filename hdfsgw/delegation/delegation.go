// Package delegation writes and reads delegation tokens as Hadoop's clients carry them: as text in a URL.
//
//	base64, for URLs, of   length | identifier | length | password | kind | service
//	identifier             0 | owner | renewer | real user | issued | until | number | key
//
// Texts have their length in front; all numbers are Hadoop's, which are short for small ones. The password is a MAC of
// the identifier: who knows the secret tells a token that was issued from one that was made up. Whether it was renewed
// or cancelled since, the namespace knows, by the number (namespace.Grant).
package delegation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"math/bits"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
)

// Kinds of tokens, by which clients find the one that they need: that of WebHDFS, and that of hdfs://, which is
// otherwise the same.
const (
	Kind       = "WEBHDFS delegation"
	KindNative = "HDFS_DELEGATION_TOKEN"
)

// maxToken bounds the text of a token, in bytes.
const maxToken = 16 << 10

// Issue returns the token of a grant. Service is where clients are to use it, HOST:PORT, which nobody checks.
func Issue(secret string, g namespace.Grant, service string) string {
	id := appendNumber(nil, 0)
	for _, text := range []string{g.Owner, g.Renewer, g.Real} {
		id = appendText(id, text)
	}
	for _, n := range []int64{g.Issued, g.Max, int64(g.Number), 1} {
		id = appendNumber(id, n)
	}
	token := appendText(nil, string(id))
	token = appendText(token, string(Password(secret, id)))
	return base64.RawURLEncoding.EncodeToString(appendText(appendText(token, Kind), service))
}

// Password returns what belongs to an identifier: who knows it has the token.
func Password(secret string, identifier []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("delegation\n")) // the secret is for other proofs, too
	mac.Write(identifier)
	return mac.Sum(nil)
}

// Token is what the text of one says.
type Token struct {
	Identifier, Password []byte
	Kind, Service        string
}

// Parse reads the text of a token, of whomever. It fails with errs.Invalid.
func Parse(text string) (t Token, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(text) > maxToken {
		return t, malformed()
	}
	r := &reader{rest: raw}
	t.Identifier, t.Password = r.text(), r.text()
	t.Kind, t.Service = string(r.text()), string(r.text())
	if r.failed {
		return t, malformed()
	}
	return t, nil
}

// Number returns the number of a token, or an error of kind Invalid if it was not issued with this secret.
func Number(secret, text string) (uint64, error) {
	t, err := Parse(text)
	if err != nil || !hmac.Equal(t.Password, Password(secret, t.Identifier)) {
		return 0, malformed()
	}
	return NumberIn(t.Identifier)
}

// NumberIn returns the number in an identifier, whoever made it.
func NumberIn(identifier []byte) (uint64, error) {
	r := &reader{rest: identifier}
	r.number() // the version
	for range 3 {
		r.text()
	}
	r.number()
	r.number()
	number := r.number()
	if r.failed || number <= 0 {
		return 0, malformed()
	}
	return uint64(number), nil
}

// Credentials makes the file from which Hadoop's processes take their tokens, if HADOOP_TOKEN_FILE_LOCATION names it:
//
//	"HDTS" | version 0 | count | alias, identifier, password, kind, service of each | count of other secrets: 0
//
// The alias of a token is its service.
func Credentials(tokens ...Token) []byte {
	b := appendNumber([]byte("HDTS\x00"), int64(len(tokens)))
	for _, t := range tokens {
		for _, text := range []string{t.Service, string(t.Identifier), string(t.Password), t.Kind, t.Service} {
			b = appendText(b, text)
		}
	}
	return appendNumber(b, 0)
}

func malformed() error {
	return errs.Errorf("delegation.Number", errs.Invalid, nil, "not a token of ours")
}

func appendText(b []byte, text string) []byte {
	return append(appendNumber(b, int64(len(text))), text...)
}

// appendNumber appends a number as Hadoop's WritableUtils does: small ones are a byte, others the count of their bytes,
// which also tells the sign, and these, the highest first.
func appendNumber(b []byte, n int64) []byte {
	if n >= -112 && n <= 127 {
		return append(b, byte(n))
	}
	mark := -112
	if n < 0 {
		n, mark = ^n, -120
	}
	size := (bits.Len64(uint64(n)) + 7) / 8
	b = append(b, byte(mark-size))
	for i := size - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

// reader takes values from the front of what is left. After the first failure it returns nothing.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.rest)) {
		r.rest, r.failed = nil, true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() []byte { return r.take(r.number()) }

func (r *reader) number() (n int64) {
	first := r.take(1)
	if r.failed {
		return 0
	}
	mark := int64(int8(first[0]))
	if mark >= -112 {
		return mark
	}
	size, negative := -112-mark, mark < -120
	if negative {
		size = -120 - mark
	}
	for _, b := range r.take(size) {
		n = n<<8 | int64(b)
	}
	if negative {
		n = ^n
	}
	return n
}
