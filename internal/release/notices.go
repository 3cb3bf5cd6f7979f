package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

var license = regexp.MustCompile(`(?i)^(licen[sc]e|copying|copyright|notice|patents)([-._].*)?$`)

// thirdParty is the notices of all modules in the programs, and of Go itself.
func (b *build) thirdParty() ([]byte, error) {
	args := []string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}"}
	for program := range b.programs {
		args = append(args, "edgeclassify/cmd/"+program)
	}
	list, err := b.run("go", args...)
	if err != nil {
		return nil, err
	}
	folders := map[string][]string{} // of a module's packages, and those above them
	for line := range strings.Lines(string(list)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 {
			continue
		}
		for dir := fields[2]; len(dir) >= len(fields[1]); dir = filepath.Dir(dir) {
			if !slices.Contains(folders[fields[0]], dir) {
				folders[fields[0]] = append(folders[fields[0]], dir)
			}
		}
	}
	root, err := b.run("go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	folders["Go "+runtime.Version()] = []string{strings.TrimSpace(string(root))}
	var text bytes.Buffer
	text.WriteString("The programs contain code of these modules, under the licenses that follow.\n")
	var modules []string
	for module := range folders {
		modules = append(modules, module)
	}
	slices.Sort(modules)
	for _, module := range modules {
		slices.Sort(folders[module])
		if err := notices(&text, module, folders[module]); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// notices adds those of a module, which must have some.
func notices(text *bytes.Buffer, module string, folders []string) error {
	found := false
	for _, dir := range folders {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() || !license.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			fmt.Fprintf(text, "\n%[1]s\n%[2]s, %[3]s\n%[1]s\n\n%[4]s\n", strings.Repeat("=", 72), module, e.Name(), bytes.TrimSpace(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))))
			found = true
		}
	}
	if !found {
		return fmt.Errorf("module %s has no license in %s", module, strings.Join(folders, ", "))
	}
	return nil
}
