package samples

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Export writes the samples as a zip archive with a folder for each label, by label
// and id. The photographs are stored as they are, one after the other: it holds one.
// Those that cannot be read are left out, which is an error when all others are written.
func (s *Store) Export(w io.Writer) error {
	archive := zip.NewWriter(w)
	var left error
	for _, v := range s.view() {
		file, err := readAll(s.openView(v))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				left = errors.Join(left, err)
			}
			continue
		}
		header := zip.FileHeader{Name: folder(v.name) + "/" + fileName(v.id), Method: zip.Store, Modified: time.UnixMilli(v.id).UTC()}
		entry, err := archive.CreateHeader(&header)
		if err == nil {
			_, err = entry.Write(file)
		}
		if err != nil {
			return fmt.Errorf("samples: export: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("samples: export: %w", err)
	}
	return left
}
