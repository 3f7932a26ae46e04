package webhdfs

import (
	"cmp"
	"net"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/delegation"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// Delegation tokens let the processes of a job act for its user, who alone has a Kerberos ticket or a bearer token.
// Every gateway of a store knows them, since they are in the journal.

// byDelegation returns whom a delegation token stands for; "" if it is none, and a refusal if it was one.
func (c *call) byDelegation(token string) (user string, err error) {
	if token == "" || c.o.Secret == "" {
		return "", nil
	}
	number, err := delegation.Number(c.o.Secret, token)
	if err != nil {
		return "", nil
	}
	g, err := c.tree.Grant(number, c.names.Now())
	return g.Owner, err
}

// getDelegationToken answers null where nothing has to be proven, as a NameNode does then.
func (c *call) getDelegationToken() error {
	if !c.o.secure() || c.o.Secret == "" {
		return c.ok(object{"Token": nil})
	}
	if c.delegated {
		return namespace.Refuse(namespace.IOException,
			"Delegation Token can be issued only with kerberos or web authentication")
	}
	renewer, _, _ := strings.Cut(c.p.get("renewer"), "@") // of a Kerberos principal the user counts
	renewer, _, _ = strings.Cut(renewer, "/")
	r := namespace.Request{Op: namespace.OpGrant, Owner: cmp.Or(renewer, c.real)}
	if c.real != c.who.User {
		r.Name = c.real
	}
	result, err := c.change(r)
	if err != nil {
		return err
	}
	g, err := c.tree.Grant(result.FileID, c.names.Now())
	if err != nil {
		return err
	}
	service := cmp.Or(c.p.get("service"), net.JoinHostPort(c.hostPort()))
	return c.ok(object{"Token": object{"urlString": delegation.Issue(c.o.Secret, g, service)}})
}

// token returns the number of the token that a request is about.
func (c *call) token() (uint64, error) {
	if !c.p.has("token") {
		return 0, missing("token", c.op)
	}
	number, err := delegation.Number(c.o.Secret, c.p.get("token"))
	if err != nil || c.o.Secret == "" {
		return 0, namespace.Refuse(namespace.InvalidToken, "The token was not issued here")
	}
	return number, nil
}

func (c *call) renewDelegationToken() error {
	number, err := c.token()
	if err != nil {
		return err
	}
	result, err := c.change(namespace.Request{Op: namespace.OpRenewGrant, File: number})
	if err != nil {
		return err
	}
	return c.ok(object{"long": result.Length})
}

func (c *call) cancelDelegationToken() error {
	number, err := c.token()
	if err != nil {
		return err
	}
	return c.done(namespace.Request{Op: namespace.OpCancelGrant, File: number})
}
