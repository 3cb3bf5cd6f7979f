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

func TestFindFollowsLinksOnce(t *testing.T) {
	elsewhere := folder(t, "tabby/1.jpg", "tabby/2.jpg", "3.jpg")
	dir := folder(t, "dog/4.jpg")
	link := func(to, name string) { require.NoError(t, os.Symlink(to, filepath.Join(dir, name))) }
	link(filepath.Join(elsewhere, "tabby"), "cat")
	link(filepath.Join(elsewhere, "3.jpg"), "dog/3.jpg")
	link("..", "dog/loop")
	link(dir, "dog/another")
	link("dog", "wolf")
	link("nowhere", "broken.jpg")
	link("self", "self")
	found, err := Find(dir)
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/cat/1.jpg", dir + "/cat/2.jpg", dir + "/dog/3.jpg", dir + "/dog/4.jpg"}, found.Files)
	require.Equal(t, "left out: 2 links to nothing (broken.jpg, self)", found.LeftOut())
}

func TestFindTellsWhatIsLeftOut(t *testing.T) {
	dir := folder(t, "a.WebP", "b.TIF", "c.bmp", "d.gif", "._a.jpg", ".DS_Store", "Thumbs.db", "x/desktop.ini", ".trash/e.jpg", "__MACOSX/f.jpg")
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("photo", "\xff\xd8\xff")
	write("phone.heic", "\xff\xd8\xff")
	found, err := Find(dir)
	require.NoError(t, err)
	require.Len(t, found.Files, 6, "content counts")
	require.Empty(t, found.LeftOut())

	for _, name := range []string{"1.heic", "2.HEIC", "x/3.HEIF"} {
		write(name, "\x00\x00\x00\x10ftypheic\x00\x00\x00\x00")
	}
	write("notes.txt", "")
	write("x/labels.csv", "a,b")
	write("x/more", "?")
	found, err = Find(dir)
	require.NoError(t, err)
	require.Len(t, found.Files, 6)
	require.Equal(t, "left out: 3 HEIC (convert to JPEG, as heif-convert does), 3 files of other kinds (notes.txt, labels.csv, ...)", found.LeftOut())
}

func TestListErrors(t *testing.T) {
	dir := folder(t, "notes.txt")
	_, err := List(dir)
	require.ErrorContains(t, err, dir+": the folder has no pictures (JPEG, PNG, WebP, GIF, BMP, TIFF); left out: 1 file of another kind (notes.txt)")
	_, err = List(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
