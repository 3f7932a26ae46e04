package fleet

import (
	"context"
	"maps"
	"path/filepath"
	"regexp"

	"github.com/seed3322913c/runner/infra/errs"
)

const secretsFile = "secrets.json"

// Secrets returns the fleet's secrets that are known here, by name: "server/..." for servers alone and "node/..." for
// all machines. They lie in the fleet's folder, for its owner alone, and in the cloud's secret store; never in
// Terraform's state, plans or user-data.
func (f *Fleet) Secrets() (map[string]string, error) {
	secrets := map[string]string{}
	_, err := readJSON(filepath.Join(f.dir, secretsFile), &secrets)
	return secrets, err
}

// AgreeSecrets returns the secrets of a fleet that is to be deployed, and keeps them here. Those that machines read
// count, whoever made them, since machines that run have them; adopted says that others were known here, or none. Else
// it is those known here, or new ones. Of a fleet of which only some are there, and not from here, nobody can make a
// whole: that is errs.Invalid.
func (f *Fleet) AgreeSecrets(ctx context.Context, make func() (map[string]string, error)) (secrets map[string]string,
	adopted bool, err error) {
	wanted, err := f.Secrets()
	if err != nil {
		return nil, false, err
	}
	known := len(wanted) > 0
	if !known {
		if wanted, err = make(); err != nil {
			return nil, false, err
		}
	}
	for name := range wanted {
		if !secretPattern.MatchString(name) {
			return nil, false, errs.Errorf("fleet.AgreeSecrets", errs.Internal, name, "not a name of a secret")
		}
	}
	kept, err := f.keptSecrets(ctx)
	if err != nil {
		return nil, false, err
	}
	there, ours := 0, known
	for name, secret := range wanted {
		if is, found := kept[name]; found {
			there++
			ours = ours && is == secret
		}
	}
	switch {
	case there == 0 || ours:
	case there < len(wanted):
		return nil, false, invalid("%s was begun elsewhere and is half made: deploy it there again, or remove it with "+
			"`runner teardown %[1]s`", f.name)
	default:
		maps.Copy(wanted, kept)
		adopted = true
	}
	return wanted, adopted, writeJSON(filepath.Join(f.dir, secretsFile), wanted)
}

// keptSecrets are those that machines read, where that is not this host.
func (f *Fleet) keptSecrets(ctx context.Context) (map[string]string, error) {
	keeper, ok := f.provider.(SecretKeeper)
	if !ok {
		return nil, nil
	}
	kept, err := keeper.KeptSecrets(ctx, f.name)
	maps.DeleteFunc(kept, func(name, _ string) bool { return !secretPattern.MatchString(name) }) // somebody else's
	return kept, err
}

var secretPattern = regexp.MustCompile(`^(server|node)/[A-Za-z0-9_.-]+$`)
