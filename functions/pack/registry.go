package pack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
	"github.com/seed3322913c/runner/infra/store"
)

// Live is the alias that is meant when nobody says a version.
const Live = "live"

// Version is one push of a function. It never changes.
type Version struct {
	Name     string    `json:"name"`
	N        int       `json:"version"` // from 1
	Package  string    `json:"package"` // the archive's SHA-256, in hexadecimal
	Manifest Manifest  `json:"manifest"`
	Pushed   time.Time `json:"pushed"`
	By       string    `json:"by,omitempty"`
}

// String writes "wc@3".
func (v Version) String() string { return fmt.Sprintf("%s@%d", v.Name, v.N) }

// Alias says which version a word means.
type Alias struct {
	Version int   `json:"version"`
	Before  []int `json:"before,omitempty"` // what it meant before, the latest first
}

// maxBefore bounds what an alias remembers.
const maxBefore = 100

// Function is what there is under one name.
type Function struct {
	Name     string           `json:"name"`
	Versions []Version        `json:"versions"` // the latest first
	Aliases  map[string]Alias `json:"aliases"`
}

// Version returns the version that a word means: the number of one, or an alias; "" is Live.
func (f Function) Version(word string) (v Version, err error) {
	n, notNumber := strconv.Atoi(word)
	if notNumber != nil {
		a, ok := f.Aliases[cmp.Or(word, Live)]
		if !ok {
			return v, errs.Errorf("", errs.NotFound, nil, "%s has no alias %q; `runner fn show %[1]s` lists them", f.Name,
				cmp.Or(word, Live))
		}
		n = a.Version
	}
	i := slices.IndexFunc(f.Versions, func(v Version) bool { return v.N == n })
	if i < 0 {
		return v, errs.Errorf("", errs.NotFound, nil, "%s has no version %d; the latest is %d", f.Name, n, f.Versions[0].N)
	}
	return f.Versions[i], nil
}

// Registry keeps functions in a store. Its methods may be called by many processes at once: versions are created if
// absent. Of two who change one alias at the same moment the later wins.
type Registry struct {
	Store store.Store
	Now   func() time.Time // nil: time.Now
}

const root = "functions/"

func versionName(name string, n int) store.Name {
	return store.Name(fmt.Sprintf("%s%s/versions/%08d.json", root, name, n))
}

func aliasName(name, alias string) store.Name {
	return store.Name(root + name + "/aliases/" + alias + ".json")
}

var wordPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

const maxRecord = 1 << 20 // bytes of a version or alias

// Push packs a folder and records it as the next version, to which the alias points from now on. If the latest version
// is the same, to the byte, that one is returned, and pushed is false.
func (r Registry) Push(ctx context.Context, folder, alias, by string) (v Version, pushed bool, err error) {
	err = Ship(ctx, r.Store, folder, func(m Manifest, sum string) error {
		v, pushed, err = r.Add(ctx, m, sum, alias, by)
		return err
	})
	return v, pushed, err
}

// Ship puts the package of a folder into the store and has it recorded, again if it was removed before it was: record
// fails with errs.NotFound then.
func Ship(ctx context.Context, st store.Store, folder string, record func(m Manifest, sum string) error) error {
	m, err := ReadFolder(folder)
	if err != nil {
		return err
	}
	const tries = 3 // who removes a function at this moment removes others' package once
	for range tries {
		var sum string
		if sum, err = upload(ctx, st, folder, m); err != nil {
			return err
		}
		if err = record(m, sum); errs.KindOf(err) != errs.NotFound {
			return err
		}
	}
	return err
}

// checkAlias fails for what is no alias.
func checkAlias(alias string) error {
	if !wordPattern.MatchString(alias) {
		return errs.Errorf("", errs.Invalid, nil, "%q is no alias; want a word as in live or canary", alias)
	}
	return nil
}

// Add records a package that is in the store as the next version of a function, to which the alias points from now on.
// If the latest version has this package, that one is returned, and pushed is false. It fails with errs.NotFound if the
// package is not in the store.
func (r Registry) Add(ctx context.Context, m Manifest, sum, alias, by string) (v Version, pushed bool, err error) {
	if err := checkAlias(alias); err != nil {
		return v, false, err
	}
	if err := r.stored(ctx, sum); err != nil {
		return v, false, err
	}
	for !pushed {
		all, err := r.versions(ctx, m.Name)
		if err != nil {
			return v, false, err
		}
		if len(all) > 0 && all[0].Package == sum {
			v = all[0]
			break
		}
		v = Version{Name: m.Name, N: 1, Package: sum, Manifest: m, Pushed: r.now(), By: by}
		if len(all) > 0 {
			v.N = all[0].N + 1
		}
		err = r.put(ctx, versionName(v.Name, v.N), v, store.IfAbsent())
		if err != nil && errs.KindOf(err) != errs.Exist { // else somebody else pushes, too
			return v, false, err
		}
		pushed = err == nil
	}
	// Whoever removed the last function with this package may have removed it after it was found.
	if err := r.stored(ctx, sum); err != nil {
		return v, pushed, err
	}
	return v, pushed, r.Point(ctx, v.Name, alias, v.N)
}

var sumPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// stored fails with errs.NotFound if a package is not in the store.
func (r Registry) stored(ctx context.Context, sum string) error {
	if !sumPattern.MatchString(sum) {
		return errs.Errorf("", errs.Invalid, nil, "%q is not the SHA-256 of a package", sum)
	}
	_, err := r.Store.Stat(ctx, prefix.Join(sum))
	if errs.KindOf(err) == errs.NotFound {
		return errs.Errorf("", errs.NotFound, nil, "the package %.12s is not in the store", sum)
	}
	return err
}

func (r Registry) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now().UTC()
}

func (r Registry) put(ctx context.Context, name store.Name, doc any, opts ...store.CreateOption) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return errs.E("pack.put", errs.Internal, name, err)
	}
	return store.Put(ctx, r.Store, name, text, opts...)
}

func (r Registry) get(ctx context.Context, name store.Name, doc any) error {
	text, err := store.Get(ctx, r.Store, name, maxRecord)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, doc); err != nil {
		return errs.E("pack.get", errs.Corrupt, name, err)
	}
	return nil
}

// Point lets an alias mean a version.
func (r Registry) Point(ctx context.Context, name, alias string, n int) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	if _, err := r.Version(ctx, name, n); err != nil {
		return err
	}
	var a Alias
	if err := r.get(ctx, aliasName(name, alias), &a); err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	if a.Version == n {
		return nil
	}
	if a.Version != 0 {
		a.Before = slices.Insert(a.Before, 0, a.Version)
		a.Before = a.Before[:min(len(a.Before), maxBefore)]
	}
	a.Version = n
	return r.put(ctx, aliasName(name, alias), a)
}

// Rollback lets an alias mean what it meant before, and returns that version. If it does not mean the version from any
// more, nothing changes, so that repeating it does no harm; 0 is any.
func (r Registry) Rollback(ctx context.Context, name, alias string, from int) (Version, error) {
	f, err := r.Get(ctx, name)
	if err != nil {
		return Version{}, err
	}
	a, ok := f.Aliases[alias]
	if ok && from != 0 && a.Version != from {
		return r.Version(ctx, name, a.Version)
	}
	if !ok || len(a.Before) == 0 {
		return Version{}, errs.Errorf("", errs.Invalid, nil, "%s@%s has meant nothing else before", name, alias)
	}
	v, err := r.Version(ctx, name, a.Before[0])
	if err != nil {
		return Version{}, err
	}
	return v, r.put(ctx, aliasName(name, alias), Alias{Version: v.N, Before: a.Before[1:]})
}

// Version returns one version.
func (r Registry) Version(ctx context.Context, name string, n int) (v Version, err error) {
	if !wordPattern.MatchString(name) || n < 1 {
		return v, r.unknown(ctx, name)
	}
	err = r.get(ctx, versionName(name, n), &v)
	if errs.KindOf(err) == errs.NotFound {
		f, err := r.Get(ctx, name)
		if err != nil {
			return v, err
		}
		return v, errs.Errorf("", errs.NotFound, nil, "%s has no version %d; the latest is %d", name, n, f.Versions[0].N)
	}
	return v, err
}

// Resolve returns what a reference means: NAME, NAME@ALIAS or NAME@VERSION.
func (r Registry) Resolve(ctx context.Context, ref string) (Version, error) {
	name, word, said := strings.Cut(ref, "@")
	if n, err := strconv.Atoi(word); said && err == nil {
		return r.Version(ctx, name, n)
	}
	if !said {
		word = Live
	}
	if !wordPattern.MatchString(name) || !wordPattern.MatchString(word) {
		return Version{}, r.unknown(ctx, name)
	}
	var a Alias
	err := r.get(ctx, aliasName(name, word), &a)
	if errs.KindOf(err) == errs.NotFound {
		if _, err := r.Get(ctx, name); err != nil {
			return Version{}, err
		}
		return Version{}, errs.Errorf("", errs.NotFound, nil, "%s has no alias %q; `runner fn show %[1]s` lists them", name,
			word)
	}
	if err != nil {
		return Version{}, err
	}
	return r.Version(ctx, name, a.Version)
}

// Get returns all there is of a function.
func (r Registry) Get(ctx context.Context, name string) (Function, error) {
	f := Function{Name: name, Aliases: map[string]Alias{}}
	if !wordPattern.MatchString(name) {
		return f, r.unknown(ctx, name)
	}
	var err error
	if f.Versions, err = r.versions(ctx, name); err != nil {
		return f, err
	}
	if len(f.Versions) == 0 {
		return f, r.unknown(ctx, name)
	}
	for info, err := range r.Store.List(ctx, root+name+"/aliases/") {
		var a Alias
		if err == nil {
			err = r.get(ctx, info.Name, &a)
		}
		if errs.KindOf(err) == errs.NotFound {
			continue // it was removed just now
		}
		if err != nil {
			return f, err
		}
		f.Aliases[strings.TrimSuffix(path.Base(string(info.Name)), ".json")] = a
	}
	return f, nil
}

// versions returns the versions of a function, the latest first.
func (r Registry) versions(ctx context.Context, name string) (all []Version, err error) {
	for info, err := range r.Store.List(ctx, root+name+"/versions/") {
		var v Version
		if err == nil {
			err = r.get(ctx, info.Name, &v)
		}
		if errs.KindOf(err) == errs.NotFound {
			continue // it was removed just now
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	slices.Reverse(all)
	return all, nil
}

// Names lists the functions that there are.
func (r Registry) Names(ctx context.Context) (names []string, err error) {
	for info, err := range r.Store.List(ctx, root) {
		if err != nil {
			return nil, err
		}
		name, rest, _ := strings.Cut(strings.TrimPrefix(string(info.Name), root), "/")
		if strings.HasPrefix(rest, "versions/") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (r Registry) unknown(ctx context.Context, name string) error {
	names, err := r.Names(ctx)
	if err != nil {
		return err
	}
	hint := ""
	if near := nearest.Of(name, names); near != "" {
		hint = " Did you mean " + near + "?"
	}
	return errs.Errorf("", errs.NotFound, nil, "there is no function %q.%s `runner fn ls` lists what there is", name, hint)
}

// Remove removes a function with all its versions, and the packages that no other function has.
func (r Registry) Remove(ctx context.Context, name string) error {
	f, err := r.Get(ctx, name)
	if err != nil {
		return err
	}
	for alias := range f.Aliases { // first, so that nobody is sent to a version that is gone
		if err := r.Store.Delete(ctx, aliasName(name, alias)); err != nil {
			return err
		}
	}
	for _, v := range f.Versions {
		if err := r.Store.Delete(ctx, versionName(name, v.N)); err != nil {
			return err
		}
	}
	used, err := r.packages(ctx)
	if err != nil {
		return err
	}
	for _, v := range f.Versions {
		if !used[v.Package] {
			if err := r.Store.Delete(ctx, prefix.Join(v.Package)); err != nil {
				return err
			}
		}
	}
	return nil
}

// packages are the sums of all packages that some version has.
func (r Registry) packages(ctx context.Context) (map[string]bool, error) {
	names, err := r.Names(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, name := range names {
		all, err := r.versions(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, v := range all {
			used[v.Package] = true
		}
	}
	return used, nil
}
