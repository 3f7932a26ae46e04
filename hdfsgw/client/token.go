package client

import (
	"context"
	"net/http"

	"github.com/seed3322913c/runner/hdfsgw/delegation"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// DelegationToken gets a token that stands for the caller. renewer is who may renew it, "" for the caller. It is
// refused with errs.Unsupported where nobody has to prove who he is.
func (c *Client) DelegationToken(ctx context.Context, renewer string) (delegation.Token, error) {
	r := request{method: http.MethodGet, op: "GETDELEGATIONTOKEN", path: "/"}
	if renewer != "" {
		r.query = query{"renewer", renewer}
	}
	var doc struct {
		Token struct {
			Text string `json:"urlString"`
		}
	}
	if err := c.do(ctx, r, &doc); err != nil {
		return delegation.Token{}, err
	}
	if doc.Token.Text == "" {
		return delegation.Token{}, c.told(r, namespace.Refuse(namespace.UnsupportedOperation,
			"There are no delegation tokens here: nobody has to prove who he is"))
	}
	t, err := delegation.Parse(doc.Token.Text)
	return t, c.told(r, err)
}
