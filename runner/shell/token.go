package shell

import (
	"context"
	"net"
	"os"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/delegation"
	"github.com/seed3322913c/runner/infra/errs"
)

// TokenOptions of Token.
type TokenOptions struct {
	Renewer string   // who may renew it; "" for the user
	RPC     []string // where it is used for hdfs://, too: HOST:PORT, or ha-hdfs:NAME
}

// Token is token: it writes a file from which Hadoop's processes take delegation tokens.
func (s *Shell) Token(ctx context.Context, file string, o TokenOptions) error {
	t, err := s.resolve(ctx, "/")
	if err != nil {
		return err
	}
	c, err := namespaceOf(t, "token")
	if err != nil {
		return err
	}
	token, err := c.DelegationToken(ctx, o.Renewer)
	if err != nil {
		return err
	}
	all := make([]delegation.Token, 0, 1+len(o.RPC))
	for i, place := range append([]string{token.Service}, o.RPC...) {
		one := token
		if i > 0 {
			one.Kind = delegation.KindNative
		}
		if one.Service, err = serviceOf(ctx, place); err != nil {
			return err
		}
		all = append(all, one)
	}
	if err := os.WriteFile(file, delegation.Credentials(all...), 0o600); err != nil {
		return errs.E("fs.token", errs.KindOf(err), file, err)
	}
	return nil
}

// serviceOf writes an address as Hadoop looks tokens up: by its IP.
func serviceOf(ctx context.Context, place string) (string, error) {
	if strings.HasPrefix(place, "ha-hdfs:") {
		return place, nil
	}
	host, port, err := net.SplitHostPort(place)
	if err != nil {
		return "", refuse(errs.Invalid, "%s is not HOST:PORT", place)
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", refuse(errs.Unavailable, "%s is not known: %s", host, errs.Cause(err))
	}
	return net.JoinHostPort(ips[0], port), nil
}
