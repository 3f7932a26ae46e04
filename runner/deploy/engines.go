package deploy

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
)

// The servers that machines run beside the program itself.
var (
	agents     = []string{"consul", "nomad"}
	localStore = "versitygw"
)

// enginesEnv is the folder where scripts/engines keeps what it builds.
const enginesEnv = "RUNNER_ENGINES"

// programs returns the paths of all that machines run, by name.
func (s *Site) programs(ctx context.Context, story func(string)) (map[string]string, error) {
	names := s.place.programs()
	if dir := s.options.Programs; dir != "" {
		all := map[string]string{}
		for _, name := range append([]string{self}, names...) {
			all[name] = filepath.Join(dir, name)
		}
		return all, nil
	}
	all, err := Engines(ctx, names, story)
	if err != nil {
		return nil, err
	}
	all[self], err = s.program()
	return all, err
}

// self is the name of the program itself.
const self = "runner"

// program is the path of the program itself, as machines are to run it.
func (s *Site) program() (string, error) {
	if s.options.Programs != "" {
		return filepath.Join(s.options.Programs, self), nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", errs.E("deploy.program", errs.Internal, nil, err)
	}
	return path, nil
}

// processors are those of machines, by how programs for them are marked.
var processors = map[elf.Machine]machines.Arch{elf.EM_X86_64: machines.AMD, elf.EM_AARCH64: machines.ARM}

// arch is what the program was made for, and so all machines have to be. One that is not for Linux runs nowhere.
func (s *Site) arch() (machines.Arch, error) {
	path, err := s.program()
	if err != nil {
		return "", err
	}
	file, err := elf.Open(path)
	if err != nil {
		return "", notForMachines(path, err)
	}
	defer file.Close() // only read
	arch, ok := processors[file.Machine]
	if !ok {
		return "", notForMachines(path, fmt.Errorf("it is for %s", file.Machine))
	}
	return arch, nil
}

func notForMachines(path string, why error) error {
	return errs.E("", errs.Unsupported, nil,
		fmt.Errorf("%s can't be run by machines, which have Linux on amd64 or arm64 (%w): say "+
			"--programs FOLDER with runner, consul and nomad built for them", path, why))
}

// Engines returns the paths of servers' programs by name: those that scripts/engines has built, or else those on PATH,
// or else it builds them, if it is called in a clone of the project.
func Engines(ctx context.Context, names []string, say func(string)) (map[string]string, error) {
	cache, err := enginesCache()
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, name := range names {
		if path := built(cache, name); path != "" {
			found[name] = path
		} else if path, err := exec.LookPath(name); err == nil {
			found[name] = path
		} else if found[name], err = build(ctx, name, say); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func enginesCache() (string, error) {
	if dir := os.Getenv(enginesEnv); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errs.E("deploy.Engines", errs.Other, nil, err)
	}
	return filepath.Join(dir, "runner", "engines"), nil
}

// built returns the newest program of a name in the cache: one folder for each version of its recipe.
func built(cache, name string) string {
	files, _ := filepath.Glob(filepath.Join(cache, name+"-*", name)) // well formed, unless the folder's name is odd
	if len(files) == 0 {
		return ""
	}
	return slices.MaxFunc(files, func(a, b string) int { return cmp.Compare(modified(a), modified(b)) })
}

func modified(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// build builds a program in the clone of the project that this process or its binary is in.
func build(ctx context.Context, name string, say func(string)) (string, error) {
	script, ok := script()
	if !ok {
		return "", errs.E("", errs.Unsupported, nil, errors.New("there is no "+name+": put it on PATH, or run "+
			"`scripts/engines consul nomad versitygw` in a clone of Runner once, which builds all that is needed with Go"))
	}
	say("building " + name + " from source, once; that takes minutes")
	cmd := exec.CommandContext(ctx, script, name)
	out, err := cmd.Output()
	if err != nil {
		text := ""
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			text = ": " + strings.TrimSpace(string(exit.Stderr))
		}
		return "", errs.E("", errs.Failed, nil, errors.New(script+" could not build "+name+text))
	}
	return strings.TrimSpace(string(out)), nil
}

// script finds scripts/engines above the working folder, or above the program's.
func script() (string, bool) {
	program, _ := os.Executable() // "" then, and it is not above that
	wd, _ := os.Getwd()
	for _, dir := range []string{wd, filepath.Dir(program)} {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			path := filepath.Join(dir, "scripts", "engines")
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, true
			}
		}
	}
	return "", false
}
