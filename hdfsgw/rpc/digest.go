package rpc

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/delegation"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// Who has a delegation token proves it by DIGEST-MD5 (RFC 2831), without sending what it is worth: the identifier is
// the user's name, the password the password, both in base64.
//
//	client  NEGOTIATE
//	server  NEGOTIATE   TOKEN, DIGEST-MD5, and the challenge: realm, nonce, ...
//	client  INITIATE    username, realm, nonce, cnonce, nc, qop, digest-uri, response
//	server  SUCCESS     rspauth, by which the server proves that it knows the password, too
//
// Nothing after it is encrypted or signed, as at a NameNode with hadoop.rpc.protection=authentication.
const (
	digestMethod, digestMechanism = "TOKEN", "DIGEST-MD5"
	digestRealm                   = "default" // and the server's id
	digestURI                     = "/" + digestRealm
	maxDigest                     = 32 << 10 // bytes of a client's response
)

// digest is a challenge that waits for its response.
type digest struct{ nonce string }

func newDigest() *digest { return &digest{rand.Text()} }

func (d *digest) challenge() []byte {
	return fmt.Appendf(nil, `realm="%s",nonce="%s",qop="auth",charset=utf-8,algorithm=md5-sess`, digestRealm, d.nonce)
}

// check returns the identifier of the token that a client has shown to have, and the answer that shows the same of us.
func (d *digest) check(response []byte, secret string) (identifier, answer []byte, err error) {
	f, err := parseDigest(response)
	if err != nil {
		return nil, nil, err
	}
	identifier, err = base64.StdEncoding.DecodeString(f["username"])
	if err != nil || f["nonce"] != d.nonce || f["realm"] != digestRealm || f["digest-uri"] != digestURI ||
		f["nc"] != "00000001" || f["qop"] != "auth" {
		return nil, nil, errDigest
	}
	password := base64.StdEncoding.EncodeToString(delegation.Password(secret, identifier))
	inner := md5.Sum([]byte(f["username"] + ":" + f["realm"] + ":" + password))
	session := string(inner[:]) + ":" + f["nonce"] + ":" + f["cnonce"]
	if f["authzid"] != "" {
		session += ":" + f["authzid"]
	}
	prove := func(method string) string {
		return hexMD5(hexMD5(session) + ":" + f["nonce"] + ":" + f["nc"] + ":" + f["cnonce"] + ":" + f["qop"] + ":" +
			hexMD5(method+":"+f["digest-uri"]))
	}
	if subtle.ConstantTimeCompare([]byte(prove("AUTHENTICATE")), []byte(f["response"])) != 1 {
		return nil, nil, errDigest
	}
	return identifier, []byte("rspauth=" + prove("")), nil
}

var errDigest = errors.New("DIGEST-MD5: digest response format violation or mismatch")

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// parseDigest reads `name=value,name="value",...`. Whoever gives a name twice is refused.
func parseDigest(response []byte) (map[string]string, error) {
	fields := map[string]string{}
	rest := string(response)
	if len(rest) > maxDigest {
		return nil, errDigest
	}
	for rest = strings.TrimLeft(rest, ", \t"); rest != ""; rest = strings.TrimLeft(rest, ", \t") {
		name, after, ok := strings.Cut(rest, "=")
		if _, twice := fields[name]; !ok || twice {
			return nil, errDigest
		}
		value := ""
		if quoted, is := strings.CutPrefix(after, `"`); is {
			if value, rest, ok = unquote(quoted); !ok {
				return nil, errDigest
			}
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		fields[name] = value
	}
	return fields, nil
}

// unquote reads up to the closing quote; a backslash stands before a character that is meant as such.
func unquote(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// authenticate takes the next step of a client that has to prove who it is.
func (c *conn) authenticate(ctx context.Context, m *hadoop.RpcSasl) (*hadoop.RpcSasl, error) {
	switch {
	case m.GetState() == hadoop.RpcSasl_NEGOTIATE && c.digest == nil && c.user == "":
		c.digest = newDigest()
		return &hadoop.RpcSasl{State: m.State, Auths: []*hadoop.RpcSasl_Auth{{Method: new(digestMethod),
			Mechanism: new(digestMechanism), Protocol: new(""), ServerId: new(digestRealm),
			Challenge: c.digest.challenge()}}}, nil
	case m.GetState() == hadoop.RpcSasl_INITIATE && c.digest != nil:
	default:
		return nil, &fatal{hadoop.RpcResponseHeader_FATAL_UNAUTHORIZED, namespace.AccessControl.JavaName(),
			fmt.Errorf("%v is not what comes next", m.GetState())}
	}
	identifier, answer, err := c.digest.check(m.GetToken(), c.o.Secret)
	c.digest = nil // nobody tries twice
	if err == nil {
		c.user, err = c.owner(ctx, identifier)
	}
	if err != nil {
		e := namespace.AsError(err)
		if !errors.As(err, new(*namespace.Error)) {
			e.Class = namespace.InvalidToken
		}
		return nil, &fatal{hadoop.RpcResponseHeader_FATAL_UNAUTHORIZED, e.Class.JavaName(), e}
	}
	return &hadoop.RpcSasl{State: hadoop.RpcSasl_SUCCESS.Enum(), Token: answer}, nil
}

// owner returns whom a token that was issued here stands for, if it is still good.
func (c *conn) owner(ctx context.Context, identifier []byte) (string, error) {
	number, err := delegation.NumberIn(identifier)
	if err != nil {
		return "", err
	}
	names, err := c.Server.names(ctx)
	if err != nil {
		return "", err
	}
	g, err := names.Grant(number, names.Now())
	return g.Owner, err
}
