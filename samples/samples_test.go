package samples

import (
	"archive/zip"
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var base = strings.Repeat("ab", hashBytes)

// photo is a small photograph of one colour.
func photo(t testing.TB, grey uint8) []byte {
	img := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range img.Pix {
		img.Pix[i] = grey
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, nil))
	return b.Bytes()
}

func features(group int64, values ...int16) *Features { return &Features{base, group, values} }

func open(t testing.TB, dir string, o Options) *Store {
	s, err := Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// reopen is what another run finds.
func reopen(t testing.TB, s *Store) *Store {
	require.NoError(t, s.Close())
	return open(t, s.dir, s.options)
}

// all are the samples that Each finds.
func all(t testing.TB, s *Store) (list []Sample) {
	require.NoError(t, s.Each(func(one *Sample) error {
		kept := *one
		kept.Values = slices.Clone(one.Values)
		list = append(list, kept)
		return nil
	}))
	return list
}

func add(t testing.TB, s *Store, label string, f *Features) string {
	id, err := s.Add(label, photo(t, uint8(f.Values[0])), f)
	require.NoError(t, err)
	return id
}

func TestSamplesAreKept(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "new", "folder"), Options{})
	require.NoError(t, s.AddLabel("keys"))
	require.NoError(t, s.AddLabel("cup"))
	k := add(t, s, "keys", features(7, 1, -32768, 32767))
	c := add(t, s, "cup", features(8, 2))
	d := add(t, s, "cup", features(8, 3))
	require.Less(t, c, d, "ids rise")

	for range 2 {
		require.Equal(t, []Label{{"cup", 2, []string{c, d}}, {"keys", 1, []string{k}}}, s.Labels())
		require.Equal(t, []Sample{{"cup", c, *features(8, 2)}, {"cup", d, *features(8, 3)}, {"keys", k, *features(7, 1, -32768, 32767)}}, all(t, s))
		s = reopen(t, s)
	}
	file, err := s.JPEG("cup", d)
	require.NoError(t, err)
	img, err := jpeg.Decode(bytes.NewReader(file))
	require.NoError(t, err)
	require.InDelta(t, 3, color.GrayModel.Convert(img.At(3, 3)).(color.Gray).Y, 2)

	other := &Features{strings.Repeat("cd", hashBytes), 9, []int16{5, 6}}
	require.NoError(t, s.SetFeatures("cup", d, other))
	require.NoError(t, s.Delete("cup", c))
	require.NoError(t, s.RenameLabel("keys", "Keys"))
	require.NoError(t, s.RenameLabel("cup", "mug"))
	for range 2 {
		require.Equal(t, []Sample{{"Keys", k, *features(7, 1, -32768, 32767)}, {"mug", d, *other}}, all(t, s))
		s = reopen(t, s)
	}
	again, err := s.JPEG("mug", d)
	require.NoError(t, err)
	require.Len(t, again, len(file)+2, "the features are replaced")

	require.NoError(t, s.RemoveLabel("mug"))
	require.NoError(t, s.Delete("Keys", k))
	s = reopen(t, s)
	require.Equal(t, []Label{{Name: "Keys", IDs: []string{}}}, s.Labels())
	require.Zero(t, s.bytes)
	require.Equal(t, []string{"Keys"}, entries(t, s.samplesDir()))
}

func entries(t testing.TB, dir string) (names []string) {
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestErrors(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	require.NoError(t, s.AddLabel("cup"))
	require.NoError(t, s.AddLabel("keys"))
	id := add(t, s, "cup", features(1, 1))
	before := all(t, s)
	jpeg := photo(t, 0)
	_, unknown := s.Add("mug", jpeg, features(1, 1))
	_, noJPEG := s.Add("cup", []byte("jpeg"), features(1, 1))
	_, cut := s.Add("cup", jpeg[:100], features(1, 1))
	_, noBase := s.Add("cup", jpeg, &Features{"beef", 0, []int16{1}})
	_, none := s.Add("cup", jpeg, features(1))
	_, many := s.Add("cup", jpeg, features(1, make([]int16, maxValues+1)...))
	_, huge := s.Add("cup", append(photo(t, 0), make([]byte, maxFile)...), features(1, 1))
	_, noID := s.JPEG("cup", "1")
	_, path := s.JPEG("cup", "../cup/"+id)
	_, of := s.JPEG("keys", id)
	for want, err := range map[string]error{
		`"mug": there is none`: unknown, "not a JPEG file": noJPEG, `"cup": not a JPEG`: cut, "SHA-256": noBase, "0 features": none, "32733": many,
		"take smaller": huge, `photograph "1"`: noID, "../cup": path, `"keys": photograph`: of,
		`"Cup": there is one already: "cup"`: s.AddLabel("Cup"), `"KEYS"`: s.RenameLabel("cup", "KEYS"),
		`label "x": there is none`: s.RemoveLabel("x"), `"y"`: s.RenameLabel("y", "z"), "there is none": s.Delete("cup", ""), "nothing was in use": s.Undo(),
		"head 4": s.Use(4),
	} {
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "samples: ")
	}
	require.ErrorIs(t, unknown, ErrNone)
	require.ErrorIs(t, s.AddLabel("CUP"), ErrTaken)
	require.NoError(t, s.RenameLabel("cup", "cup"))
	require.Equal(t, before, all(t, s), "nothing has changed")
	require.Equal(t, before, all(t, reopen(t, s)))
	_, err := Open(t.TempDir(), Options{MaxSamples: -1})
	require.ErrorContains(t, err, "at least 1")
}

func TestOneProgramHasTheFolder(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	if _, err := Open(s.dir, Options{}); err == nil {
		t.Skip("no locks on this system")
	} else {
		require.ErrorContains(t, err, "by another program")
	}
	reopen(t, s)
}

func TestBounds(t *testing.T) {
	s := open(t, t.TempDir(), Options{MaxSamples: 3, MaxLabels: 2})
	require.NoError(t, s.AddLabel("a"))
	require.NoError(t, s.AddLabel("b"))
	err := s.AddLabel("c")
	require.ErrorIs(t, err, ErrFull)
	require.ErrorContains(t, err, "2 labels")
	for i := range 3 {
		add(t, s, []string{"a", "b"}[i%2], features(1, int16(i)))
	}
	for range 2 {
		_, err = s.Add("a", photo(t, 0), features(1, 1))
		require.ErrorIs(t, err, ErrFull)
		require.ErrorContains(t, err, "3 photographs")
		s = reopen(t, s)
	}
	size := s.bytes
	require.NoError(t, s.Delete("a", s.Labels()[0].IDs[0]))
	add(t, s, "b", features(1, 9))
	require.NoError(t, s.RemoveLabel("b"))

	s.options.MaxSamples, s.options.MaxBytes = 9, size
	s = reopen(t, s)
	require.NoError(t, s.AddLabel("b"))
	for range 2 {
		add(t, s, "b", features(1, 0))
	}
	_, err = s.Add("b", photo(t, 0), features(1, 0))
	require.ErrorIs(t, err, ErrFull)
	require.ErrorContains(t, err, "bytes")
	require.Len(t, all(t, s), 3)
}

func TestLabelsOfAnyText(t *testing.T) {
	s := open(t, t.TempDir(), Options{MaxLabels: 1000})
	good := []string{
		"cup", "my keys", "Tasse à café", "コップ", "🗝️", "AC/DC", "..", ".", "...", "a.", ".git", "../../etc/passwd", `C:\x`, "a:b*?\"<>|", "100%", "%2F",
		"con", "NUL.txt", "Com1", "console", "desktop.ini", "Thumbs.db", "__MACOSX", "none", "_none", "-rf", "~", strings.Repeat("/", maxLabel), strings.Repeat("é", maxLabel/2),
	}
	for i, label := range good {
		require.NoError(t, s.AddLabel(label), label)
		add(t, s, label, features(1, int16(i)))
		name := folder(label)
		require.LessOrEqual(t, len(name), 255)
		require.Equal(t, name, filepath.Base(s.labelDir(label)))
		require.NotRegexp(t, `[/\\:*?"<>|]|^\.|\.$`, name)
	}
	slices.Sort(good)
	for range 2 {
		var got []string
		for _, l := range s.Labels() {
			got = append(got, l.Name)
			require.Equal(t, 1, l.Count)
		}
		require.Equal(t, good, got)
		s = reopen(t, s)
	}
	require.Len(t, entries(t, s.samplesDir()), len(good))
	for _, bad := range []string{"", " ", " cup", "cup\n", "a\nb", "a\x00", "\x1b[2J", "a\u202eb", "a\xff", "a\u2028b", "a\u200bb", strings.Repeat("x", maxLabel+1)} {
		require.Error(t, s.AddLabel(bad), "%q", bad)
		require.Error(t, s.RenameLabel("cup", bad), "%q", bad)
	}
	require.Equal(t, "AC%2FDC", folder("AC/DC"))
	require.Equal(t, "%63on", folder("con"))
	require.Equal(t, "コップ.jpg", folder("コップ.jpg"))
}

func TestHeads(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	train := func(text string) int {
		n, err := s.Trained(func(path string) error { return os.WriteFile(path, []byte(text), 0o600) })
		require.NoError(t, err)
		return n
	}
	inUse := func(want string) {
		t.Helper()
		for range 2 {
			path, ok := s.InUse()
			require.Equal(t, want != "", ok)
			if ok {
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, want, string(text))
			}
			s = reopen(t, s)
		}
	}
	inUse("")
	require.Equal(t, 1, train("one"))
	inUse("")
	require.NoError(t, s.Use(1))
	inUse("one")
	require.Equal(t, 2, train("two"))
	inUse("one")
	require.NoError(t, s.Use(2))
	require.NoError(t, s.Use(2), "once more changes nothing")
	inUse("two")
	require.NoError(t, s.Undo())
	inUse("one")
	before, ok := s.Before()
	require.True(t, ok)
	require.Zero(t, before)
	require.NoError(t, s.Undo())
	inUse("")
	_, ok = s.Before()
	require.False(t, ok)
	require.Error(t, s.Undo())

	require.NoError(t, s.Use(1))
	require.NoError(t, s.Use(2))
	require.NoError(t, s.Use(0))
	require.NoError(t, s.Use(1))
	for range 4 {
		train("more")
	}
	kept, n := s.Heads()
	require.Equal(t, []int{1, 5, 6}, kept, "the one in use stays")
	require.Equal(t, 1, n)
	require.Equal(t, []string{"1.q8", "5.q8", "6.q8"}, entries(t, s.headsDir()))
	inUse("one")
	require.NoError(t, s.Undo())
	inUse("")
	require.NoError(t, s.Undo())
	inUse("one")

	_, err := s.Trained(func(path string) error {
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
		return io.ErrUnexpectedEOF
	})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, []string{"1.q8", "5.q8", "6.q8"}, entries(t, s.headsDir()))
}

func TestExport(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for _, label := range []string{"keys", "AC/DC", "empty"} {
		require.NoError(t, s.AddLabel(label))
	}
	want := map[string]string{}
	var order []string
	for i, label := range []string{"AC/DC", "AC/DC", "keys"} {
		id := add(t, s, label, features(1, int16(i)))
		file, err := s.JPEG(label, id)
		require.NoError(t, err)
		order = append(order, strings.ReplaceAll(label, "/", "%2F")+"/"+id+".jpg")
		want[order[i]] = string(file)
	}
	var b, again bytes.Buffer
	require.NoError(t, s.Export(&b))
	require.NoError(t, s.Export(&again))
	require.Equal(t, b.Bytes(), again.Bytes())
	archive, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	var got []string
	for _, entry := range archive.File {
		got = append(got, entry.Name)
		require.Equal(t, zip.Store, entry.Method)
		f, err := entry.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(f)
		require.NoError(t, err)
		require.Equal(t, want[entry.Name], string(text))
	}
	require.Equal(t, order, got)
	require.ErrorIs(t, s.Export(broken{}), io.ErrClosedPipe)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Many callers at once find whole samples, and leave what the folder holds.
func TestManyCallers(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for _, label := range []string{"a", "b"} {
		require.NoError(t, s.AddLabel(label))
	}
	errs := make(chan error)
	callers := []func(i int) error{
		func(i int) error { _, err := s.Add("a", photo(t, 1), features(1, int16(i), 1)); return err },
		func(i int) error { _, err := s.Add("b", photo(t, 2), features(2, int16(i), 2)); return err },
		func(int) error {
			for _, l := range s.Labels() {
				if l.Count > 5 {
					return s.Delete(l.Name, l.IDs[0])
				}
			}
			return nil
		},
		func(int) error {
			return s.Each(func(one *Sample) error {
				if one.Base != base || int64(one.Values[1]) != one.Group {
					return io.ErrUnexpectedEOF
				}
				return nil
			})
		},
		func(int) error { return s.Export(io.Discard) },
		func(int) error { return errors.Join(s.AddLabel("c"), s.RenameLabel("c", "d"), s.RemoveLabel("d")) },
		func(int) error {
			n, err := s.Trained(func(path string) error { return os.WriteFile(path, nil, 0o600) })
			return errors.Join(err, s.Use(n), s.Undo())
		},
	}
	for _, call := range callers {
		go func() {
			var err error
			for i := range 30 {
				err = errors.Join(err, call(i))
			}
			errs <- err
		}()
	}
	for range callers {
		require.NoError(t, <-errs)
	}
	labels := s.Labels()
	s = reopen(t, s)
	require.Equal(t, labels, s.Labels())
	require.Len(t, labels, 2)
}

// A sample's features are read without memory of their own, nor the photograph.
func TestEachTakesLittleMemory(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	require.NoError(t, s.AddLabel("cup"))
	file := append(photo(t, 1), make([]byte, 1<<20)...)
	const samples = 20
	for range samples {
		_, err := s.Add("cup", file, features(1, make([]int16, 2048)...))
		require.NoError(t, err)
	}
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, s.Each(func(*Sample) error { return nil }))
		}
	})
	require.Less(t, result.AllocedBytesPerOp(), int64(256<<10))
}
