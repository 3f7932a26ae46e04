package pack

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
)

// templates are the beginnings of functions, a folder for each language. In every file NAME is the function's.
//
//go:embed templates
var templates embed.FS

// Languages lists what Init knows.
func Languages() []string {
	entries, err := templates.ReadDir("templates")
	if err != nil { // it is compiled in
		panic(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Init makes a folder with a function that works, in a language, and returns its files. The function is called as the
// folder, which may exist if it has none of the files.
func Init(folder, language string) (files []string, err error) {
	name := filepath.Base(folder)
	if !wordPattern.MatchString(name) {
		return nil, errs.Errorf("", errs.Invalid, nil,
			"%q cannot be the name of a function: want small letters, digits and dashes, a letter first", name)
	}
	from := path.Join("templates", language)
	entries, err := templates.ReadDir(from)
	if err != nil {
		return nil, errs.Errorf("", errs.Invalid, nil, "there is no template for %q; there is %s", language,
			strings.Join(Languages(), ", "))
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, errs.E("pack.Init", errs.Other, folder, err)
	}
	for _, e := range entries {
		text, err := templates.ReadFile(path.Join(from, e.Name()))
		if err != nil {
			return files, errs.E("pack.Init", errs.Internal, e.Name(), err)
		}
		file := filepath.Join(folder, strings.TrimSuffix(e.Name(), ".txt")) // go.mod would make a module of its own here
		if err := writeNew(file, bytes.ReplaceAll(text, []byte("NAME"), []byte(name))); err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return errs.Errorf("", errs.Exist, nil, "%s exists already", file)
	}
	if err != nil {
		return errs.E("pack.Init", errs.Other, file, err)
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
