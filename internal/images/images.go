// Package images finds picture files.
package images

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// List returns the path itself if it is a file, and else all JPEG and PNG
// files of the folder and the folders within, in lexical order. A folder
// without pictures is an error.
func List(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	// Unlike filepath.WalkDir, this follows a path that is a symbolic link.
	err = fs.WalkDir(os.DirFS(path), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && isImage(p) {
			files = append(files, filepath.Join(path, filepath.FromSlash(p)))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(files) // the walk sorts each folder by itself
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: the folder has no pictures (.jpg, .jpeg, .png)", path)
	}
	return files, nil
}

func isImage(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jpg", ".jpeg", ".png":
		return true
	}
	return false
}
