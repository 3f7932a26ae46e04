package api

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/say"
)

// This file is the register of functions: versions, and what aliases mean. Packages themselves go past the API.

func (f Functions) push(w http.ResponseWriter, r *http.Request) error {
	var ask client.FunctionPush
	if err := readJSON(w, r, &ask, maxSubmission); err != nil {
		return err
	}
	m, err := pack.Parse("the manifest", []byte(ask.Manifest))
	if err != nil {
		return err
	}
	if name := r.PathValue("name"); m.Name != name {
		return say.Errorf(errs.Invalid, "the manifest is that of %s, not of %s", m.Name, name)
	}
	// Who may do everything may push for others.
	if by := CallerOf(r.Context()); by.Name != "" && (by.Role < access.Admin || ask.By == "") {
		ask.By = by.Name
	}
	if err := f.keep(r, m, ask.Env); err != nil {
		return err
	}
	var done client.FunctionPushed
	done.Version, done.Pushed, err = f.registry().Add(r.Context(), m, ask.Package, cmp.Or(ask.Alias, pack.Live), ask.By)
	if err != nil {
		return err
	}
	return writeJSON(w, done)
}

// keep keeps the secrets of a function that came with a push: those that its manifest refers to, and no others.
func (f Functions) keep(r *http.Request, m pack.Manifest, env map[string]string) error {
	wanted := m.SecretVariables()
	for name := range env {
		if !slices.Contains(wanted, name) {
			return say.Errorf(errs.Invalid, "%s is no secret of %s", name, m.Name)
		}
	}
	if len(env) == 0 {
		return nil
	}
	if f.Keep == nil {
		return say.Errorf(errs.Unsupported, "handlers here find secrets in the environment of their host alone")
	}
	return f.Keep(r.Context(), m.Name, env)
}

func (f Functions) setAlias(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Version int `json:"version"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	name := r.PathValue("name")
	if err := f.registry().Point(r.Context(), name, r.PathValue("alias"), ask.Version); err != nil {
		return err
	}
	v, err := f.registry().Version(r.Context(), name, ask.Version)
	if err != nil {
		return err
	}
	return writeJSON(w, v)
}

func (f Functions) rollback(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		From int `json:"from"`
	}
	if err := readJSON(w, r, &ask, maxBody); err != nil {
		return err
	}
	v, err := f.registry().Rollback(r.Context(), r.PathValue("name"), r.PathValue("alias"), ask.From)
	if err != nil {
		return err
	}
	return writeJSON(w, v)
}

func (f Functions) remove(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	was, err := f.registry().Get(r.Context(), name)
	if err != nil {
		return err
	}
	if err := f.registry().Remove(r.Context(), name); err != nil {
		return err
	}
	if f.Forget != nil {
		if err := f.Forget(r.Context(), name); err != nil {
			return err
		}
	}
	return writeJSON(w, was)
}
