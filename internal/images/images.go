// Package images finds picture files.
package images

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edgeclassify/preprocess"
)

// Found is what is in a folder.
type Found struct {
	Files []string // pictures, in lexical order

	seen    map[string]bool     // folders, by their path without links
	others  map[string][]string // names of files by kind
	foreign map[string]string   // programs that convert pictures, by their kind
}

// List is the Files of Find.
func List(path string) ([]string, error) {
	found, err := Find(path)
	return found.Files, err
}

// Find finds the pictures in a folder and the folders within, or takes a path that is
// a file as it is. Links are followed, to each folder once. What is hidden and what
// systems leave behind is not looked at. Files with the usual extension are pictures,
// and others whose content is one. A folder without pictures is an error.
func Find(path string) (found Found, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return found, err
	}
	if !info.IsDir() {
		found.Files = []string{path}
		return found, nil
	}
	found.seen, found.others, found.foreign = map[string]bool{}, map[string][]string{}, map[string]string{}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		err = found.folder(path, real)
	}
	if err != nil {
		return found, err
	}
	slices.Sort(found.Files) // each folder is sorted by itself
	if len(found.Files) > 0 {
		return found, nil
	}
	if left := found.LeftOut(); left != "" {
		return found, fmt.Errorf("%s: the folder has no pictures (JPEG, PNG, WebP, GIF, BMP, TIFF); %s", path, left)
	}
	return found, fmt.Errorf("%s: the folder has no pictures (JPEG, PNG, WebP, GIF, BMP, TIFF)", path)
}

// folder looks through a folder, of which real is the path without links.
func (f *Found) folder(path, real string) error {
	if f.seen[real] {
		return nil
	}
	f.seen[real] = true
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !Ignored(entry.Name()) {
			if err := f.entry(filepath.Join(path, entry.Name()), filepath.Join(real, entry.Name()), entry.Type()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Found) entry(path, real string, mode fs.FileMode) error {
	if mode&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		if err == nil {
			mode = info.Mode()
			real, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			f.leaveOut(broken, path)
			return nil
		}
	}
	switch {
	case mode.IsDir():
		return f.folder(path, real)
	case mode.IsRegular():
		f.file(path)
		return nil
	}
	f.leaveOut(strange, path)
	return nil
}

func (f *Found) file(path string) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff":
		f.Files = append(f.Files, path)
		return
	}
	name, with := kind(path)
	switch {
	case name == "":
		f.leaveOut(strange, path)
	case with == "":
		f.Files = append(f.Files, path)
	default:
		f.foreign[name] = with
		f.leaveOut(name, path)
	}
}

// kind is preprocess.Kind of a file; one that cannot be read is of none.
func kind(path string) (name, with string) {
	file, err := os.Open(path)
	if err != nil {
		return "", ""
	}
	defer file.Close()
	beginning := make([]byte, preprocess.KindBytes)
	n, _ := io.ReadFull(file, beginning)
	return preprocess.Kind(beginning[:n])
}

// Kinds of what is no picture.
const (
	strange = "file of another kind"
	broken  = "link to nothing"
)

func (f *Found) leaveOut(as, path string) { f.others[as] = append(f.others[as], filepath.Base(path)) }

// LeftOut tells in a line what there was besides pictures; empty for nothing.
func (f *Found) LeftOut() string {
	var parts []string
	for _, as := range slices.Sorted(maps.Keys(f.others)) {
		names, what := f.others[as], as
		if with := f.foreign[as]; with != "" {
			parts = append(parts, fmt.Sprintf("%d %s (convert to JPEG, as %s does)", len(names), as, with))
			continue
		}
		if many := map[string]string{strange: "files of other kinds", broken: "links to nothing"}; len(names) > 1 {
			what = many[as]
		}
		const shown = 2
		list := strings.Join(names[:min(len(names), shown)], ", ")
		if len(names) > shown {
			list += ", ..."
		}
		parts = append(parts, fmt.Sprintf("%d %s (%s)", len(names), what, list))
	}
	if len(parts) == 0 {
		return ""
	}
	return "left out: " + strings.Join(parts, ", ")
}

// Ignored tells what is hidden or left behind by systems, ._* of macOS among it.
func Ignored(name string) bool {
	switch strings.ToLower(name) {
	case "thumbs.db", "desktop.ini", "__macosx":
		return true
	}
	return strings.HasPrefix(name, ".")
}
