package capture

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/jpegfile"
)

// encode returns a JPEG file with the standard Huffman tables, and the same
// without them.
func encode(t testing.TB) (whole, bare []byte) {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, jpeg.Encode(&file, scene(16, 8), nil))
	whole = file.Bytes()
	at := bytes.Index(whole, []byte(standardTables))
	require.Positive(t, at, "image/jpeg writes the standard tables")
	bare = append(bare, whole[:at]...)
	return whole, append(bare, whole[at+len(standardTables):]...)
}

func TestCompleteJPEG(t *testing.T) {
	whole, bare := encode(t)
	app0 := []byte("\xff\xd8\xff\xe0\x00\x07AVI1\x00\xff") // and a fill byte
	for name, c := range map[string]struct{ file, want []byte }{
		"whole":              {whole, whole},
		"no tables":          {bare, whole},
		"padded":             {append(bytes.Clone(bare), make([]byte, 100)...), whole},
		"whole, padded":      {append(bytes.Clone(whole), make([]byte, 100)...), whole},
		"no end":             {whole[:len(whole)-2], whole},
		"neither":            {bare[:len(bare)-2], whole},
		"application's data": {append(bytes.Clone(app0), bare[2:]...), append(bytes.Clone(app0), whole[2:]...)},
	} {
		b := &buffer{scratch: []byte("of the last frame")}
		_, err := b.completeJPEG(c.file)
		require.NoError(t, err, name)
		require.Equal(t, c.want, b.Data, name)
	}
	b := &buffer{}
	_, err := b.completeJPEG(whole)
	require.NoError(t, err)
	require.Same(t, &whole[0], &b.Data[0], "nothing missing, nothing copied")
}

func TestNoJPEG(t *testing.T) {
	whole, _ := encode(t)
	for name, file := range map[string][]byte{
		"empty": nil, "zeros": make([]byte, 1000), "start only": whole[:2], "header only": whole[:20],
		"end at once": {0xff, 0xd8, 0xff, 0xd9, 0, 0}, "not a marker": append([]byte{0xff, 0xd8, 0x12}, whole...),
	} {
		_, err := new(buffer).completeJPEG(file)
		require.ErrorIs(t, err, jpegfile.ErrNotJPEG, name)
	}
}

func TestCompletingDoesNotAllocate(t *testing.T) {
	_, bare := encode(t)
	b := &buffer{}
	require.Zero(t, testing.AllocsPerRun(10, func() {
		if _, err := b.completeJPEG(bare); err != nil {
			t.Fatal(err)
		}
	}))
}

func FuzzCompleteJPEG(f *testing.F) {
	whole, bare := encode(f)
	f.Add(whole)
	f.Add(bare)
	f.Add(bare[:200])
	f.Add([]byte("\xff\xd8\xff\xff\xff\xc4\x00\x00\xff\xda\x00\x00\xff\xd9"))
	f.Fuzz(func(t *testing.T, file []byte) {
		b := &buffer{}
		original := bytes.Clone(file)
		if _, err := b.completeJPEG(file); err != nil {
			return
		}
		require.Equal(t, original, file, "the camera's buffer is not written to")
		header, err := jpegfile.Parse(b.Data)
		require.NoError(t, err)
		require.True(t, header.Tables)
		require.True(t, bytes.HasSuffix(b.Data[header.Scan:], []byte{0xff, jpegfile.MarkerEOI}))
		again := &buffer{}
		_, err = again.completeJPEG(b.Data)
		require.NoError(t, err)
		require.Equal(t, b.Data, again.Data, "complete is complete")
		if c, err := jpeg.DecodeConfig(bytes.NewReader(file)); err != nil || c.Width*c.Height > 1<<16 {
			return
		}
		if _, err := jpeg.Decode(bytes.NewReader(file)); err == nil {
			_, err := jpeg.Decode(bytes.NewReader(b.Data))
			require.NoError(t, err, "what could be decoded still can")
		}
	})
}
