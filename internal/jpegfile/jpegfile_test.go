package jpegfile

import (
	"bytes"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// files are the photographs and oddities of testdata.
func files(t testing.TB) [][]byte {
	paths, err := filepath.Glob("../../testdata/[op]*/*.jpg")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), 8)
	list := make([][]byte, len(paths))
	for i, path := range paths {
		list[i], err = os.ReadFile(path)
		require.NoError(t, err)
	}
	return list
}

func TestParseFindsSizeTablesAndScan(t *testing.T) {
	for _, file := range files(t) {
		h, err := Parse(file)
		require.NoError(t, err)
		requireSize(t, h, file)
		require.True(t, h.Tables)
		require.Equal(t, []byte{0xff, MarkerSOS}, file[h.Scan:h.Scan+2])
		require.Zero(t, testing.AllocsPerRun(10, func() { Parse(file) }))
	}
}

func TestParseReturnsWhatComesBeforeTheDamage(t *testing.T) {
	for _, file := range files(t) {
		whole, err := Parse(file)
		require.NoError(t, err)
		h, err := Parse(file[:whole.Scan])
		require.ErrorIs(t, err, ErrNotJPEG)
		h.Scan = whole.Scan
		require.Equal(t, whole, h)
	}
}

// requireSize compares with image/jpeg, which may refuse more.
func requireSize(t *testing.T, h Header, file []byte) {
	config, err := jpeg.DecodeConfig(bytes.NewReader(file))
	if err == nil && h.Width > 0 {
		require.Equal(t, [2]int{config.Width, config.Height}, [2]int{h.Width, h.Height})
	}
}

// A file cannot show Decode's limits one size and image/jpeg another.
func FuzzParse(f *testing.F) {
	for _, file := range files(f) {
		h, err := Parse(file)
		require.NoError(f, err)
		f.Add(file[:h.Scan+20])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := Parse(file)
		require.True(t, err != nil || h.Scan+4 <= len(file))
		requireSize(t, h, file)
	})
}
