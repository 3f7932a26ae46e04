package aws

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
)

// Console implements fleet.Console. EC2 takes minutes to tell what a machine has said.
func (p *Provider) Console(ctx context.Context, machine string) (string, error) {
	var out struct {
		Output string `xml:"output"`
	}
	if err := p.call.query(ctx, ec2, "GetConsoleOutput", url.Values{"InstanceId": {machine}}, &out); err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(out.Output), ""))
	if err != nil {
		return "", errs.E("aws.Console", errs.Corrupt, machine, err)
	}
	return strings.ToValidUTF8(string(text), "?"), nil
}
