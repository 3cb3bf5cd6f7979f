package samples

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"image/jpeg"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/syncbuffer"
)

// What others put into the folder is neither taken for a sample nor touched, and
// damaged files cost nothing but their own features.
func TestOthersFiles(t *testing.T) {
	var log syncbuffer.Buffer
	s := open(t, t.TempDir(), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, s.AddLabel("cup"))
	good := add(t, s, "cup", features(1, 5))
	file, err := s.JPEG("cup", good)
	require.NoError(t, err)
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	put := func(content []byte, path ...string) {
		require.NoError(t, os.WriteFile(filepath.Join(append([]string{s.dir}, path...)...), content, 0o600))
	}
	flipped := bytes.Clone(file)
	flipped[bytes.Index(flipped, []byte(identifier))+len(identifier)+hashBytes+9] ^= 1
	damaged := [][]byte{flipped, photo(t, 0), file[:60], file[:40], file[:3], {}, []byte("no JPEG"), bytes.Repeat([]byte{0xff}, 1e5)}
	for i, content := range damaged {
		put(content, "samples", "cup", "170000000000"+string(rune('0'+i))+".jpg")
	}
	for _, name := range []string{"notes.txt", "1.jpg", "17000000000000.jpg", "1700000000000.jpeg", ".1700000000000.jpg.0123.tmp", ".hidden"} {
		put(file, "samples", "cup", name)
	}
	put(nil, "samples", "cup", "1800000000000.jpg")
	require.NoError(t, os.Truncate(filepath.Join(s.dir, "samples", "cup", "1800000000000.jpg"), maxFile+1))
	for _, name := range []string{" x", "%2f", "%41", "a%2", "a\nb", ".removed-x", "1900000000000.jpg", strings.Repeat("x", maxLabel+1)} {
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "samples", name, "1700000000000.jpg"), 0o700))
	}
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "samples", "cup", "1900000000000.jpg"), 0o700))
	put(nil, "samples", "file")
	put([]byte("{}"), "heads", "007.q8")
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "heads", "5.q8"), 0o700))
	put([]byte(`{"used": [0, 5, 7], "`), "state.json")
	if os.Symlink(outside, filepath.Join(s.dir, "samples", "cup", "2000000000000.jpg")) == nil {
		require.NoError(t, os.Symlink(outside, filepath.Join(s.dir, "heads", "7.q8")))
		require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(s.dir, "samples", "link")))
	}
	before := tree(t, s.dir)

	s = reopen(t, s)
	require.Contains(t, log.String(), "state.json")
	list := all(t, s)
	require.Len(t, list, len(damaged)+1)
	for i, one := range list[:len(damaged)] {
		require.Empty(t, one.Base, "photograph %d", i)
		require.Empty(t, one.Values)
		require.EqualValues(t, 1700000000000+int64(i), one.Group)
	}
	require.Equal(t, Sample{"cup", good, *features(1, 5)}, list[len(damaged)])
	require.Equal(t, before, tree(t, s.dir))

	require.NoError(t, s.SetFeatures("cup", list[1].ID, features(2, 6)), "of a whole photograph they can be computed again")
	require.ErrorContains(t, s.SetFeatures("cup", list[6].ID, features(2, 6)), list[6].ID)
	require.Equal(t, *features(2, 6), all(t, s)[1].Features)
	kept, inUse := s.Heads()
	require.Empty(t, kept)
	require.Zero(t, inUse)
	n, err := s.Trained(func(path string) error { return os.WriteFile(path, nil, 0o600) })
	require.NoError(t, err)
	require.NoError(t, s.Use(n))

	next := add(t, s, "cup", features(3, 1))
	require.Less(t, good, next)
	err = s.RemoveLabel("cup")
	require.ErrorContains(t, err, "no photograph of ours")
	require.Len(t, all(t, s), len(damaged)+2)
	var b bytes.Buffer
	require.NoError(t, s.Export(&b))
	archive, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	require.Len(t, archive.File, len(damaged)+2)

	// A photograph that is something else by now.
	path := filepath.Join(s.labelDir("cup"), good+".jpg")
	require.NoError(t, os.Remove(path))
	_, err = s.JPEG("cup", good)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Len(t, all(t, s), len(damaged)+1)
	require.NoError(t, os.Mkdir(path, 0o700))
	_, err = s.JPEG("cup", good)
	require.ErrorContains(t, err, path)
	require.Len(t, all(t, s), len(damaged)+2)
	b.Reset()
	require.ErrorContains(t, s.Export(&b), path)
	archive, err = zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	require.Len(t, archive.File, len(damaged)+1, "the others are whole")
}

// Names and states that are made up are an error or nothing, and take no memory.
func TestExtremes(t *testing.T) {
	var log syncbuffer.Buffer
	s := open(t, t.TempDir(), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, s.AddLabel("cup"))
	add(t, s, "cup", features(1, 1))
	for _, text := range []string{"{}", "null", `{"used": null}`, `{"used": [-1, 7, 0, 0]}`, `{"used": [1e99]}`, `{"used": "1"}`} {
		require.NoError(t, os.WriteFile(s.statePath(), []byte(text), 0o600))
		s = reopen(t, s)
		_, ok := s.InUse()
		require.False(t, ok, text)
	}
	require.NoError(t, os.Truncate(s.statePath(), maxFile+1))
	s = reopen(t, s)
	require.Contains(t, log.String(), "state.json is no file of ours")
	require.NoError(t, s.Use(0), "it is written anew")
	require.NoError(t, os.WriteFile(s.path("cup", 9999999999999), photo(t, 1), 0o600))
	s = reopen(t, s)
	_, err := s.Add("cup", photo(t, 1), features(1, 1))
	require.ErrorContains(t, err, "9999999999999.jpg: rename that file")
	require.Len(t, all(t, s), 2)
}

// tree lists all files with their sizes.
func tree(t *testing.T, dir string) map[string]int64 {
	list := map[string]int64{}
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		list[path] = info.Size()
		if info.IsDir() {
			list[path] = 0
		}
		return err
	}))
	return list
}

// A file has one place for features, behind what has to come first.
func TestSegment(t *testing.T) {
	file := photo(t, 100)
	app := func(m byte, content string) []byte {
		return append([]byte{0xff, m, 0, byte(2 + len(content))}, content...)
	}
	exif, other := app(markerAPP1, "Exif\x00\x00MM\x00*"), app(marker, "somebody else's")
	plain := bytes.Join([][]byte{file[:2], exif, other, {0xff, 0xff}, file[3:]}, nil)
	f := features(-3, 1, -2, 3)
	with, err := withFeatures(plain, f)
	require.NoError(t, err)
	segment, err := f.appendSegment(nil)
	require.NoError(t, err)
	require.Equal(t, bytes.Join([][]byte{file[:2], exif, segment, other, file[2:]}, nil), with, "fill bytes go")
	g := features(4, 9)
	require.Equal(t, *f, parsed(t, with))
	again, err := withFeatures(with, g)
	require.NoError(t, err)
	require.Equal(t, *g, parsed(t, again))
	require.Equal(t, 1, bytes.Count(again, []byte(identifier)))
	_, err = jpeg.Decode(bytes.NewReader(again))
	require.NoError(t, err)

	for n := range maxValues {
		g.Values = append(g.Values, int16(n))
	}
	g.Values = g.Values[:maxValues]
	with, err = withFeatures(file, g)
	require.NoError(t, err)
	require.Equal(t, *g, parsed(t, with), "as many as a segment takes")
}

func parsed(t *testing.T, file []byte) (f Features) {
	require.NoError(t, f.read(bufio.NewReader(bytes.NewReader(file)), make([]byte, maxSegment)))
	return f
}

// Of any bytes either features are read, which are written as they were, or none are.
func FuzzFeatures(f *testing.F) {
	file := photo(f, 50)
	with, err := withFeatures(file, features(1, 2, 3))
	require.NoError(f, err)
	at := bytes.Index(with, []byte(identifier))
	short := bytes.Clone(with)
	binary.BigEndian.PutUint16(short[at-2:], 3)
	for _, seed := range [][]byte{with, file, with[:at+30], short, append([]byte{0xff, 0xd8, 0xff, 0xff}, with[at-4:]...), {0xff, 0xd8, 0xff, 0xd0, 0xff, 0xef, 0, 1}} {
		f.Add(seed)
	}
	scratch := make([]byte, maxSegment)
	f.Fuzz(func(t *testing.T, file []byte) {
		var got Features
		err := got.read(bufio.NewReader(bytes.NewReader(file)), scratch)
		if err == nil {
			segment, err := got.appendSegment(nil)
			require.NoError(t, err)
			require.True(t, bytes.Contains(file, segment))
		} else {
			require.Empty(t, got.Values)
		}
		want := features(7, 1, 2)
		if with, err := withFeatures(file, want); err == nil {
			require.Equal(t, *want, parsed(t, with))
			again, err := withFeatures(with, want)
			require.NoError(t, err)
			require.Equal(t, with, again)
		}
	})
}

// Any name of a folder is a label's or none, and each label has one.
func FuzzLabel(f *testing.F) {
	for _, seed := range []string{"cup", "AC/DC", "%2F", "%2f", "..", "con", "a.", "é", "\xff", "%C3%A9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if label, ok := labelOf(text); ok {
			require.NoError(t, checkLabel(label))
			require.Equal(t, text, folder(label))
		}
		if checkLabel(text) == nil {
			name := folder(text)
			require.Equal(t, name, filepath.Base(name))
			label, ok := labelOf(name)
			require.True(t, ok)
			require.Equal(t, text, label)
		}
	})
}
