package images

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// folder makes a folder of empty files.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	return dir
}

func TestListFindsPicturesInLexicalOrder(t *testing.T) {
	dir := folder(t, "b/1.png", "b.jpg", "a.JPEG", "notes.txt", "b/c/2.jpg")
	got, err := List(dir)
	require.NoError(t, err)
	var want []string
	for _, name := range []string{"a.JPEG", "b.jpg", "b/1.png", "b/c/2.jpg"} {
		want = append(want, filepath.Join(dir, name))
	}
	require.Equal(t, want, got)

	file := filepath.Join(dir, "notes.txt")
	got, err = List(file)
	require.NoError(t, err)
	require.Equal(t, []string{file}, got, "a file is taken whatever its name")
}

func TestListFollowsAPathThatIsALink(t *testing.T) {
	dir := folder(t, "a.jpg")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	got, err := List(link)
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(link, "a.jpg")}, got)
}

func TestListErrors(t *testing.T) {
	dir := folder(t, "notes.txt")
	_, err := List(dir)
	require.ErrorContains(t, err, dir+": the folder has no pictures")
	_, err = List(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
