package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	fenced   = regexp.MustCompile("(?s)```[a-z]*\n(.*?)```")
	inline   = regexp.MustCompile("`([^`\n]+)`")
	called   = regexp.MustCompile(`^(?:\$ |sudo |export |[A-Z_]+=\S+ )*(?:go run )?(?:[\w.]*/)*runner (.*)$`)
	betweens = regexp.MustCompile(`\s{3,}|\s+#\s|──|\s[|;>]\s| && `) // what ends a command
	quoted   = regexp.MustCompile(`'[^']*'|"[^"]*"`)
)

// commandsIn returns the words behind `runner` of the commands that a text tells people to type.
func commandsIn(text string) (all [][]string) {
	var lines []string
	for _, block := range fenced.FindAllStringSubmatch(text, -1) {
		whole := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(block[1], "")
		lines = append(lines, strings.Split(whole, "\n")...)
	}
	for _, span := range inline.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		lines = append(lines, span[1])
	}
	for _, line := range lines {
		line = quoted.ReplaceAllString(line, "TEXT")
		for _, one := range betweens.Split(line, -1) {
			if m := called.FindStringSubmatch(strings.TrimSpace(one)); m != nil {
				all = append(all, strings.Fields(m[1]))
			}
		}
	}
	return all
}

// TestCommandsInDocs looks whether every command that people are told to type has a verb and flags that there are.
func TestCommandsInDocs(t *testing.T) {
	var files []string
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob("../" + pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		files = append(files, found...)
	}
	n := 0
	for _, file := range files {
		if filepath.Base(file) == "cli.md" { // which is what the program says
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range commandsIn(string(text)) {
			n++
			if why := unknownIn(newRoot(&program{}), words); why != "" {
				t.Errorf("%s: runner %s: %s", file, strings.Join(words, " "), why)
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d commands were found", n)
	}
}

// unknownIn says what of a command's words there is not; their values are not looked at, since some stand for others.
func unknownIn(root *cobra.Command, words []string) string {
	words = slices.Clone(words)
	for i, word := range words {
		words[i], _, _ = strings.Cut(word, "|") // of several, the first
	}
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root && !strings.HasPrefix(words[0], "-") {
		return "no such verb"
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && rest[0] == strings.ToLower(rest[0]) {
		return "no such command of " + cmd.Name()
	}
	for i, word := range rest {
		if word == "--" { // schedule add ... -- run ...
			return unknownIn(root, rest[i+1:])
		}
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(strings.TrimRight(name, "],.)"), "=")
		if isFlag && name != "help" && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
			return "no flag --" + name
		}
	}
	return ""
}

func TestCommandsInTexts(t *testing.T) {
	root := newRoot(&program{})
	for line, want := range map[string]string{
		"run wordcount --input IN --output OUT":           "",
		"schedule add a --cron TEXT -- run b --output c":  "",
		"schedule add a --cron TEXT -- run b --outputt c": "no flag --outputt",
		"schedule ad a": "no such command of schedule",
		"rnu wordcount": "no such verb",
		"deploy --provider=local --wrokers 3 --ttl 2h": "no flag --wrokers",
		"invoke wc -d TEXT --async":                    "",
		"schedule show nightly --cluster NAME --json":  "",
	} {
		if got := unknownIn(root, strings.Fields(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	text := "Say `runner jobs`, or:\n```sh\n$ runner run a \\\n    --input 'b c'   # that\nrunner logs x   runner kill y\n```\n"
	var got []string
	for _, words := range commandsIn(text) {
		got = append(got, strings.Join(words, " "))
	}
	if want := "run a --input TEXT|logs x|kill y|jobs"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
