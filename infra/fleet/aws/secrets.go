package aws

import (
	"context"
	"strings"
)

// KeptSecrets implements fleet.SecretKeeper: they are parameters below "/runner/NAME/".
func (p *Provider) KeptSecrets(ctx context.Context, cluster string) (map[string]string, error) {
	path := iamPath(cluster)
	in := map[string]any{"Path": path, "Recursive": true, "WithDecryption": true}
	kept := map[string]string{}
	for {
		var page struct {
			Parameters []struct{ Name, Value string }
			NextToken  string
		}
		if err := p.call.json(ctx, ssm, "GetParametersByPath", in, &page); err != nil {
			return nil, err
		}
		for _, one := range page.Parameters {
			kept[strings.TrimPrefix(one.Name, path)] = one.Value
		}
		if page.NextToken == "" {
			return kept, nil
		}
		in["NextToken"] = page.NextToken
	}
}
