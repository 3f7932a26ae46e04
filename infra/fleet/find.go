package fleet

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/seed3322913c/runner/infra/errs"
)

// wanted is which Terraform will do: write-only arguments, which keep secrets out of the state, came with 1.11. What is
// fetched is pinned, so that two machines that fetch get the same; its checksums are signed, and hc-install looks.
const (
	oldestTerraform = "1.11.0"
	pinnedTerraform = "1.11.4"
)

// find returns the path of a Terraform that is new enough: the one that was asked for, the one on PATH, or one that is
// fetched once into bin.
func find(ctx context.Context, o Options, bin string) (string, error) {
	if o.Terraform != "" {
		return o.Terraform, checkTerraform(ctx, o.Terraform)
	}
	onPath, err := exec.LookPath("terraform")
	if err == nil {
		err = checkTerraform(ctx, onPath)
	}
	if err == nil {
		return onPath, nil
	}
	fetched := filepath.Join(bin, "terraform")
	if _, statErr := os.Stat(fetched); statErr == nil {
		return fetched, checkTerraform(ctx, fetched)
	}
	fetchErr := fetch(ctx, o.Releases, bin)
	if ctx.Err() != nil {
		return "", errs.E("fleet.find", errs.Canceled, nil, ctx.Err())
	}
	if fetchErr != nil {
		return "", errs.E("", errs.Unavailable, nil, &missing{found: err, fetch: fetchErr})
	}
	return fetched, checkTerraform(ctx, fetched)
}

// missing says that there is no Terraform, and how to get one.
type missing struct{ found, fetch error }

func (m *missing) Error() string {
	why := "there is no Terraform on PATH"
	if !errors.Is(m.found, exec.ErrNotFound) {
		why = errs.Cause(m.found)
	}
	return why + ", and version " + pinnedTerraform + " could not be fetched (" + errs.Cause(m.fetch) +
		"); install it from https://developer.hashicorp.com/terraform/install and try again"
}

func (m *missing) Unwrap() []error { return []error{m.found, m.fetch} }

// fetch installs the pinned Terraform into bin, from site (laid out like HashiCorp's) or HashiCorp's. It gets its place
// when all of it is there, and was looked at: one that is cut off is fetched again.
func fetch(ctx context.Context, site, bin string) error {
	part := filepath.Join(bin, "fetching")
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(part) // or the next one does
	source := &releases.ExactVersion{Product: product.Terraform,
		Version:    version.Must(version.NewVersion(pinnedTerraform)),
		InstallDir: part, ApiBaseURL: site}
	if err := source.Validate(); err != nil {
		return err
	}
	program, err := source.Install(ctx)
	if err != nil {
		return err
	}
	return os.Rename(program, filepath.Join(bin, "terraform"))
}

// checkTerraform returns errs.Unsupported if a Terraform is too old.
func checkTerraform(ctx context.Context, path string) error {
	tf, err := tfexec.NewTerraform(filepath.Dir(path), path)
	if err != nil {
		return errs.E("fleet.find", errs.NotFound, path, err)
	}
	is, _, err := tf.Version(ctx, true)
	if ctx.Err() != nil {
		return errs.E("fleet.find", errs.Canceled, path, ctx.Err())
	}
	if err != nil {
		return errs.E("fleet.find", errs.Unsupported, path, err)
	}
	if is.LessThan(version.Must(version.NewVersion(oldestTerraform))) {
		return errs.Errorf("", errs.Unsupported, nil, "%s is Terraform %s, and %s or newer is needed", path, is,
			oldestTerraform)
	}
	return nil
}
