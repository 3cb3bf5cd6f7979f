package samples

import (
	"archive/zip"
	"fmt"
	"io"
	"time"
)

// Export writes the samples as a zip archive with a folder for each label, by label
// and id. The photographs are stored as they are, and pass through without being held.
func (s *Store) Export(w io.Writer) error {
	archive := zip.NewWriter(w)
	for _, v := range s.view() {
		f, err := s.openView(v)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: folder(v.name) + "/" + fileName(v.id), Method: zip.Store, Modified: time.UnixMilli(v.id).UTC()})
		if err == nil {
			_, err = io.Copy(entry, f)
		}
		f.Close()
		if err != nil {
			return fmt.Errorf("samples: export: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("samples: export: %w", err)
	}
	return nil
}
