package fleet

import (
	"context"
	"maps"
	"path/filepath"
	"regexp"

	"github.com/seed3322913c/runner/infra/errs"
)

const secretsFile = "secrets.json"

// SecretCA is the name of the secret that is none: the certificate of who vouches for a fleet's servers, PEM.
const SecretCA = "node/ca"

// Secrets returns the fleet's secrets that are known here, by name: "server/..." for servers alone and "node/..." for
// all machines. They lie in the fleet's folder, for its owner alone, and in the cloud's secret store; never in
// Terraform's state, plans or user-data.
func (f *Fleet) Secrets() (map[string]string, error) {
	secrets := map[string]string{}
	_, err := readJSON(filepath.Join(f.dir, secretsFile), &secrets)
	return secrets, err
}

// agreeSecrets gives the request of a fleet that is to be deployed the certificate among its secrets, and keeps those
// here. The ones that machines read count, whoever made them, since machines that run have them; adopted says that
// others were known here, or none. Else it is those known here, or new ones. Of a fleet of which only some are there,
// and not from here, nobody can make a whole but who is at it: that is a Refusal, or else errs.Invalid.
//
// It is part of the plan's operation: of two that make secrets at once machines would get the certificate of one and
// the keys of the other.
func (f *Fleet) agreeSecrets(ctx context.Context, r *Request) (adopted bool, err error) {
	wanted, err := f.Secrets()
	if err != nil {
		return false, err
	}
	known := len(wanted) > 0
	if !known {
		if wanted, err = f.options.NewSecrets(); err != nil {
			return false, err
		}
	}
	for name := range wanted {
		if !secretPattern.MatchString(name) {
			return false, errs.Errorf("fleet.agreeSecrets", errs.Internal, name, "not a name of a secret")
		}
	}
	kept, err := f.keptSecrets(ctx)
	if err != nil {
		return false, err
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
		if reader, can := f.provider.(StateReader); can {
			if _, err := f.readState(ctx, reader, *r); err != nil {
				return false, err
			}
		}
		return false, invalid("%s was begun elsewhere and is half made: deploy it there again, or remove it with "+
			"`runner teardown %[1]s`", f.name)
	default:
		maps.Copy(wanted, kept)
		adopted = true
	}
	r.CA = wanted[SecretCA]
	return adopted, writeJSON(filepath.Join(f.dir, secretsFile), wanted)
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
