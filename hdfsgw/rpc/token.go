package rpc

import (
	"crypto/hmac"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/delegation"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// getDelegationToken answers nothing where nothing has to be proven, as a NameNode does then. Where it has, whoever
// asks here has a token already: tokens are got over WebHDFS.
func (c *call) getDelegationToken(*hadoop.Empty) (proto.Message, error) {
	if c.o.Secret == "" {
		return &hadoop.Empty{}, nil
	}
	return nil, namespace.Refuse(namespace.IOException,
		"Delegation Token can be issued only with kerberos or web authentication")
}

// token returns the number of the token that a call is about.
func (c *call) token(q *hadoop.TokenRequest) (uint64, error) {
	id := q.GetToken().GetIdentifier()
	number, err := delegation.NumberIn(id)
	good := hmac.Equal(q.GetToken().GetPassword(), delegation.Password(c.o.Secret, id))
	if c.o.Secret == "" || err != nil || !good {
		return 0, namespace.Refuse(namespace.InvalidToken, "The token was not issued here")
	}
	return number, nil
}

func (c *call) renewDelegationToken(q *hadoop.TokenRequest) (proto.Message, error) {
	number, err := c.token(q)
	if err != nil {
		return nil, err
	}
	result, err := c.change(namespace.Request{Op: namespace.OpRenewGrant, File: number})
	return &hadoop.RenewDelegationTokenResponse{Until: proto.Uint64(uint64(result.Length))}, err
}

func (c *call) cancelDelegationToken(q *hadoop.TokenRequest) (proto.Message, error) {
	number, err := c.token(q)
	if err != nil {
		return nil, err
	}
	return c.done(namespace.Request{Op: namespace.OpCancelGrant, File: number})
}
