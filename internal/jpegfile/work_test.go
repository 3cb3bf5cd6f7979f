package jpegfile

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMeasure(t *testing.T) {
	for _, file := range files(t) {
		w := Measure(file)
		require.Equal(t, bytes.Count(file, []byte{0xff, MarkerSOS}), w.Scans)
		require.Equal(t, bytes.Contains(file, []byte{0xff, markerSOF2}), w.Progressive)
		require.GreaterOrEqual(t, w.Visits, w.Blocks)
		if !w.Progressive {
			require.Equal(t, w.Blocks, w.Visits, "each component is in one scan")
		}
		header, err := Parse(file)
		require.NoError(t, err)
		require.GreaterOrEqual(t, 64*w.Blocks, int64(header.Width*header.Height))
		require.False(t, w.RGB && w.Components == 3)
		require.Zero(t, testing.AllocsPerRun(10, func() { Measure(file) }))
	}
}

// What image/jpeg skips hides no scan.
func TestMeasureFollowsWhatDecodersSkip(t *testing.T) {
	for _, file := range files(t) {
		header, err := Parse(file)
		require.NoError(t, err)
		insert := func(at int, what string) []byte {
			return bytes.Join([][]byte{file[:at], []byte(what), file[at:]}, nil)
		}
		for _, changed := range [][]byte{
			insert(header.Scan, "\xff\x00 garbage \xff\x00"), insert(header.Scan, "\xff\xff\xff"),
			insert(header.Scan, "\xff\xd0"), insert(2, "\xff\xe5\x00\x06\xff\xda\x00\x00"),
			append(bytes.Clone(file), file...), // a further file behind the end
		} {
			_, err := jpeg.Decode(bytes.NewReader(changed))
			require.NoError(t, err)
			require.Equal(t, Measure(file), Measure(changed))
		}
	}
}

func FuzzMeasure(f *testing.F) {
	for _, file := range files(f) {
		header, err := Parse(file)
		require.NoError(f, err)
		f.Add(file[:header.Scan+20])
	}
	f.Add([]byte("\xff\xd8\xff\xc2\x00\x08\x08\x00\x10\x00\x10\x00")) // a frame of no components
	f.Fuzz(func(t *testing.T, file []byte) {
		w := Measure(file)
		require.True(t, w.Components <= 4 && w.Blocks >= 0 && w.Visits >= 0 && w.Scans <= len(file)/4)
	})
}
