package rpc

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/delegation"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

const storeSecret = "of the store"

// issue makes a delegation token.
func (c *cluster) issue(t *testing.T, owner, renewer string) delegation.Token {
	t.Helper()
	r, err := c.service.Do(t.Context(), namespace.Request{Op: namespace.OpGrant, Owner: renewer,
		Caller: namespace.Caller{User: owner}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.tree.Grant(r.FileID, c.service.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, err := delegation.Parse(delegation.Issue(storeSecret, g, "gw:1"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// respond makes a client's response to a challenge, as RFC 2831 has it.
func respond(t *testing.T, challenge []byte, token delegation.Token, more string) []byte {
	t.Helper()
	f, err := parseDigest(challenge)
	if err != nil || f["qop"] != "auth" || f["algorithm"] != "md5-sess" {
		t.Fatal(f, err)
	}
	user := base64.StdEncoding.EncodeToString(token.Identifier)
	password := base64.StdEncoding.EncodeToString(token.Password)
	const cnonce, uri = "c", "/default"
	inner, err := hex.DecodeString(hexMD5(user + ":" + f["realm"] + ":" + password))
	if err != nil {
		t.Fatal(err)
	}
	ha1 := hexMD5(string(inner) + ":" + f["nonce"] + ":" + cnonce)
	response := hexMD5(ha1 + ":" + f["nonce"] + ":00000001:" + cnonce + ":auth:" + hexMD5("AUTHENTICATE:"+uri))
	return fmt.Appendf(nil, `charset=utf-8,username="%s",realm="%s",nonce="%s",nc=00000001,cnonce="%s",digest-uri="%s",`+
		`maxbuf=65536,response=%s,qop=auth%s`, user, f["realm"], f["nonce"], cnonce, uri, response, more)
}

// login proves who is there, and returns the connection and the last answer's header.
func (c *cluster) login(t *testing.T, token delegation.Token, more string) (*wire, *hadoop.RpcResponseHeader) {
	t.Helper()
	w := c.dial(t, helloSASL)
	w.write(frame(t, w.header(callSASL), &hadoop.RpcSasl{State: hadoop.RpcSasl_NEGOTIATE.Enum()}))
	var m hadoop.RpcSasl
	if h := w.answer(&m); m.GetState() != hadoop.RpcSasl_NEGOTIATE || len(m.GetAuths()) != 1 {
		t.Fatal(h, &m)
	}
	auth := m.GetAuths()[0]
	answer := respond(t, auth.GetChallenge(), token, more)
	auth.Challenge = nil
	w.write(frame(t, w.header(callSASL), &hadoop.RpcSasl{State: hadoop.RpcSasl_INITIATE.Enum(), Token: answer,
		Auths: []*hadoop.RpcSasl_Auth{auth}}))
	m.Reset()
	h := w.answer(&m)
	if h.GetStatus() == hadoop.RpcResponseHeader_SUCCESS &&
		(m.GetState() != hadoop.RpcSasl_SUCCESS || !strings.HasPrefix(string(m.GetToken()), "rspauth=")) {
		t.Error(&m)
	}
	return w, h
}

// TestTokensProveWhoIsThere has the right token, and others.
func TestTokensProveWhoIsThere(t *testing.T) {
	c := newCluster(t, Options{Secret: storeSecret})
	token := c.issue(t, "alice", "yarn")
	w, _ := c.login(t, token, "")
	w.write(frame(t, w.header(callContext), &hadoop.IpcConnectionContext{})) // as Java's client, which has said it all
	mkdir := &hadoop.MkdirsRequest{Src: proto.String("/d"), Masked: &hadoop.FsPermission{Perm: proto.Uint32(0o755)},
		CreateParent: proto.Bool(true)}
	w.ask(1, "mkdirs", mkdir)
	if h := w.answer(nil); !strings.HasPrefix(h.GetErrorMessage(), "Permission denied: user=alice") {
		t.Error(h)
	}
	w.ask(2, "getDelegationToken", &hadoop.Empty{})
	if h := w.answer(nil); !strings.Contains(h.GetErrorMessage(), "only with kerberos or web authentication") {
		t.Error(h)
	}

	w, _ = c.login(t, token, "")
	w.meet("root", "alice")
	if h := w.answer(nil); h.GetErrorMessage() != "User: alice is not allowed to impersonate root" {
		t.Error(h)
	}
}

// TestWrongTokensProveNothing changes what a client shows, and when.
func TestWrongTokensProveNothing(t *testing.T) {
	c := newCluster(t, Options{Secret: storeSecret})
	const invalid, denied = "org.apache.hadoop.security.token.SecretManager$InvalidToken",
		"org.apache.hadoop.security.AccessControlException"
	good := c.issue(t, "alice", "yarn")
	guessed, other := good, good
	guessed.Password = bytes.Repeat([]byte{7}, 32)
	other.Identifier = append(bytes.Clone(good.Identifier), 1)
	for name, show := range map[string]struct {
		token delegation.Token
		more  string
	}{"password": {guessed, ""}, "identifier": {other, ""}, "twice": {good, `,realm="default"`}, "open": {good, `,x="`}} {
		if _, h := c.login(t, show.token, show.more); h.GetExceptionClass() != invalid ||
			h.GetStatus() != hadoop.RpcResponseHeader_FATAL {
			t.Errorf("%s: %v", name, h)
		}
	}
	if w := c.dial(t, helloSimple); w.answer(nil).GetExceptionClass() != denied {
		t.Error("it is enough to say who one is")
	}
	w := c.dial(t, helloSASL)
	w.meet("root", "")
	if h := w.answer(nil); h.GetExceptionClass() != denied {
		t.Error("a context without proof:", h)
	}
	w = c.dial(t, helloSASL)
	w.write(frame(t, w.header(callSASL), &hadoop.RpcSasl{State: hadoop.RpcSasl_INITIATE.Enum()}))
	if h := w.answer(nil); h.GetExceptionClass() != denied {
		t.Error("a response without a challenge:", h)
	}

	// The renewer renews, the owner cancels; then it is worth nothing.
	yarn, _ := c.login(t, c.issue(t, "yarn", ""), "")
	yarn.write(frame(t, yarn.header(callContext), &hadoop.IpcConnectionContext{}))
	about := &hadoop.TokenRequest{Token: &hadoop.Token{Identifier: good.Identifier, Password: good.Password,
		Kind: proto.String(""), Service: proto.String("")}}
	yarn.ask(1, "renewDelegationToken", about)
	var until hadoop.RenewDelegationTokenResponse
	if h := yarn.answer(&until); until.GetUntil() == 0 {
		t.Error(h)
	}
	forged := proto.CloneOf(about)
	forged.Token.Password = guessed.Password
	yarn.ask(2, "cancelDelegationToken", forged)
	if h := yarn.answer(nil); h.GetExceptionClass() != invalid {
		t.Error(h)
	}
	yarn.ask(3, "cancelDelegationToken", about)
	if h := yarn.answer(nil); h.GetStatus() != hadoop.RpcResponseHeader_SUCCESS {
		t.Error(h)
	}
	if _, h := c.login(t, good, ""); h.GetExceptionClass() != invalid {
		t.Error("a cancelled token:", h)
	}
}

// FuzzDigest parses anything. Nothing proves to be somebody.
func FuzzDigest(f *testing.F) {
	f.Add([]byte(`charset=utf-8,username="QQ==",realm="default",nonce="n",nc=00000001,cnonce="c",digest-uri="/default",` +
		`response=00112233445566778899aabbccddeeff,qop=auth`))
	f.Add([]byte(`a="\",b=`))
	f.Add([]byte(`=,,="`))
	f.Fuzz(func(t *testing.T, response []byte) {
		if id, _, err := (&digest{nonce: "n"}).check(response, storeSecret); err == nil {
			t.Errorf("%q proves to have token %x", response, id)
		}
	})
}
