package webhdfs

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestDelegationTokens gets, uses, renews and cancels a token, and has the wrong people try.
func TestDelegationTokens(t *testing.T) {
	s := newServer(t, Options{Secret: "of the store", Tokens: map[string]string{"a": "alice", "b": "bob", "y": "yarn"},
		Proxies: map[string][]string{"yarn": nil, "bob": {"carol"}}})
	// do asks and returns the answer; user is the bearer token or "", query begins with op.
	do := func(want int, bearer, method, path, query string) string {
		t.Helper()
		headers := map[string]string{}
		if bearer != "" {
			headers["Authorization"] = "Bearer " + bearer
		}
		resp, body := ask(t, s, method, prefix+path+"?op="+query, nil, headers)
		if resp.StatusCode != want {
			t.Fatalf("%s %s: %s %s", method, query, resp.Status, body)
		}
		return body
	}
	get := func(bearer, more string) string {
		t.Helper()
		var doc struct{ Token struct{ URLString string } }
		text := do(200, bearer, "GET", "/", "GETDELEGATIONTOKEN"+more)
		if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Token.URLString == "" {
			t.Fatal(text, err)
		}
		return doc.Token.URLString
	}
	says := func(text, what string) {
		t.Helper()
		if !strings.Contains(text, what) {
			t.Errorf("%s lacks %s", text, what)
		}
	}
	token := get("a", "&renewer=yarn/host@REALM")
	with := "&delegation=" + token
	says(do(200, "", "GET", "/", "GETHOMEDIRECTORY"+with), "/user/alice")
	says(do(403, "", "GET", "/", "GETDELEGATIONTOKEN"+with), "only with kerberos or web authentication")
	says(do(403, "", "GET", "/", "GETHOMEDIRECTORY&doas=carol"+with), "not allowed to impersonate")
	guessed := []byte(token)
	if middle := &guessed[len(guessed)/2]; *middle == 'A' {
		*middle = 'B'
	} else {
		*middle = 'A'
	}
	do(401, "", "GET", "/", "GETHOMEDIRECTORY&delegation="+string(guessed))
	says(do(200, "y", "PUT", "/", "RENEWDELEGATIONTOKEN&token="+token), `{"long":`)
	says(do(403, "b", "PUT", "/", "RENEWDELEGATIONTOKEN&token="+token), "AccessControlException")
	says(do(403, "b", "PUT", "/", "CANCELDELEGATIONTOKEN&token="+token), "AccessControlException")
	says(do(400, "b", "PUT", "/", "CANCELDELEGATIONTOKEN"), "Required param token")
	says(do(403, "b", "PUT", "/", "RENEWDELEGATIONTOKEN&token=AAAA"), "InvalidToken")
	do(200, "a", "PUT", "/", "CANCELDELEGATIONTOKEN&token="+token)
	text := do(403, "", "GET", "/", "GETHOMEDIRECTORY"+with)
	says(text, `"exception":"InvalidToken"`)
	says(text, `"javaClassName":"org.apache.hadoop.security.token.SecretManager$InvalidToken"`)

	// Proxies get tokens for others, of whom they then know nothing.
	with = "&delegation=" + get("y", "&doas=carol")
	says(do(200, "", "GET", "/", "GETHOMEDIRECTORY"+with), "/user/carol")
	says(do(200, "b", "GET", "/", "GETHOMEDIRECTORY&doas=carol"), "/user/carol")
	for _, other := range []string{"b&doas=alice", "y&doas=root", "a&doas=carol"} {
		who, query, _ := strings.Cut(other, "&")
		says(do(403, who, "GET", "/", "GETHOMEDIRECTORY&"+query), "not allowed to impersonate")
	}
}
