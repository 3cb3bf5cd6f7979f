// Package photos reads photographs that are sorted into folders, one for each class,
// and runs a network on them: what package teach learns from.
//
// Each photograph is looked at once. By ten drawings of photographs of seven classes,
// mirrored and nearer views of 1 to 8 of each changed the accuracy by no more than its
// error, and so did darker, lighter and tinted ones of 1 and 3, also on pictures changed
// so.
package photos

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"edgeclassify/internal/images"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/samples"
	"edgeclassify/teach"
)

// Folder is a folder, or a .zip of one (what a board exports, too: see samples), that
// has a folder for each class, right in which its photographs are. What is hidden, and
// what systems leave behind, is not looked at.
type Folder struct {
	Labels []string // the names of the folders in lexical order; teach.None, if any, is the last
	Files  []File   // in the order of the labels, then of their paths
	Stray  []string // paths of files that are in no class's folder

	fsys  fs.FS
	close func() error
}

// File is a file of a class, a photograph if all is well.
type File struct {
	Path  string // within the folder, with slashes
	Class int    // number of its label
}

// Open finds the classes and their files; nothing is unpacked. Folders none and _none
// are that of teach.None. Folders within those of classes, and classes of no file, are
// errors. A folder that has nothing but the folder of all classes stands for that.
func Open(name string) (*Folder, error) {
	f, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("photos: %w", err)
	}
	if err := f.find(); err != nil {
		return nil, errors.Join(fmt.Errorf("photos: %s: %w", name, err), f.Close())
	}
	return f, nil
}

func open(name string) (*Folder, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return &Folder{fsys: os.DirFS(name), close: func() error { return nil }}, nil
	}
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: want a folder, or a .zip, with a folder for each class", name, err)
	}
	return &Folder{fsys: z, close: z.Close}, nil
}

// Close ends reading.
func (f *Folder) Close() error { return f.close() }

func (f *Folder) find() error {
	folders, stray, err := f.list(".")
	for err == nil && len(folders) == 1 && len(stray) == 0 {
		within, files, deeper := f.list(folders[0])
		if err = deeper; len(within) == 0 || len(files) > 0 {
			break
		}
		folders = within
	}
	if err != nil {
		return err
	}
	if len(folders) == 0 {
		return errors.New("it has no folders: want one for each class, with photographs in it, such as cup and keys")
	}
	f.Stray = stray
	classes := map[string][]string{}
	for _, folder := range folders {
		label := labelOf(folder)
		within, files, err := f.list(folder)
		switch {
		case err != nil:
			return err
		case len(within) > 0:
			return fmt.Errorf("%s is a folder within the class %q: move its photographs up, or make it a folder beside that of the class; "+
				"if the classes are the folders in %s, give that", within[0], label, folder)
		case len(files) == 0:
			return fmt.Errorf("class %q has no photographs: put some into %s, or remove it", label, folder)
		}
		classes[label] = append(classes[label], files...)
	}
	return f.add(classes)
}

// add puts classes, by their labels, in order.
func (f *Folder) add(classes map[string][]string) error {
	for label := range classes {
		f.Labels = append(f.Labels, label)
		if err := labels.Check([]labels.Class{{ID: label, Name: label}}); err != nil {
			return fmt.Errorf("folder %q: %w", label, err)
		}
	}
	slices.Sort(f.Labels)
	if i := slices.Index(f.Labels, teach.None); i >= 0 {
		f.Labels = append(slices.Delete(f.Labels, i, i+1), teach.None)
	}
	for class, label := range f.Labels {
		for _, file := range classes[label] {
			f.Files = append(f.Files, File{file, class})
		}
	}
	return nil
}

// labelOf is the label that a class's folder gives.
func labelOf(folder string) string {
	if label := samples.LabelOf(path.Base(folder)); !strings.EqualFold(strings.TrimPrefix(label, "_"), teach.None) {
		return label
	}
	return teach.None
}

// list has the folders and the other files in a folder, by their paths. Links are
// followed; one to nothing is a file, which cannot be read.
func (f *Folder) list(folder string) (folders, files []string, err error) {
	entries, err := fs.ReadDir(f.fsys, folder)
	for _, entry := range entries {
		name, isDir := path.Join(folder, entry.Name()), entry.IsDir()
		if images.Ignored(entry.Name()) {
			continue
		}
		if entry.Type()&fs.ModeSymlink != 0 {
			info, err := fs.Stat(f.fsys, name)
			isDir = err == nil && info.IsDir()
		}
		if isDir {
			folders = append(folders, name)
		} else {
			files = append(files, name)
		}
	}
	return folders, files, err
}

// read reads the file of a path.
func (f *Folder) read(name string) ([]byte, error) {
	if info, err := fs.Stat(f.fsys, name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() { // opening a pipe would not end
		return nil, errors.New("it is not a file")
	}
	file, err := f.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return preprocess.Limits{}.Read(file)
}
