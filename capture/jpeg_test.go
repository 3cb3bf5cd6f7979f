package capture

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/jpegfile"
	"edgeclassify/internal/v4l2"
	"edgeclassify/preprocess"
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

// withRestarts is a JPEG file of count times 16 x 16 grey pixels in a row, each of
// them with a restart marker before it but for the first.
func withRestarts(t *testing.T, count int) []byte {
	t.Helper()
	var one bytes.Buffer
	grey := image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420)
	for i := range grey.Y {
		grey.Y[i] = 200
	}
	require.NoError(t, jpeg.Encode(&one, grey, nil))
	h, err := jpegfile.Parse(one.Bytes())
	require.NoError(t, err)
	head, scan := bytes.Clone(one.Bytes()[:h.Scan]), one.Bytes()[h.Scan:]
	frame := bytes.Index(head, []byte("\xff\xc0"))
	head[frame+8] = byte(16 * count) // the width
	file := append(head, "\xff\xdd\x00\x04\x00\x01"...)
	const scanHeader = 14
	for i := range count {
		if i == 0 {
			file = append(file, scan[:scanHeader]...)
		} else {
			file = append(file, 0xff, 0xd0+byte(i-1)%8)
		}
		file = append(file, scan[scanHeader:len(scan)-2]...)
	}
	return append(file, 0xff, jpegfile.MarkerEOI)
}

// TestDamagedFramesAreCounted whoever finds them: capture, or the one who decodes
// them. None has a picture.
func TestDamagedFramesAreCounted(t *testing.T) {
	restarts := withRestarts(t, 4) // 64 x 16 pixels
	third := bytes.Index(restarts, []byte("\xff\xd1"))
	fourth := bytes.Index(restarts, []byte("\xff\xd2"))
	other := bytes.Clone(restarts)
	at := bytes.Index(other, []byte("\xff\xc0"))
	other[at+5], other[at+7] = 0xff, 0xff
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, camera: newFakeCamera(), sys: newFakeSystem(map[string]*fakeCamera{})}
		b.sys.plug("/dev/video0", b.camera)
		b.camera.formats = []v4l2.FourCC{v4l2.MJPG}
		b.camera.adjust = func(p *v4l2.PixFormat) { p.SizeImage = 1 << 16 }
		b.open("", Options{Width: 64, Height: 16})
		defer b.Close()
		send := func(file []byte) {
			b.shoot(func(f *v4l2.Buffer, memory []byte) { f.Used = copy(memory, file) })
		}
		good := func(file []byte) {
			send(file)
			require.NoError(t, b.next().Image(new(preprocess.Image)))
		}
		good(restarts)
		for i, file := range [][]byte{
			append(bytes.Clone(restarts[:third]), restarts[fourth:]...), // a segment is missing
			restarts[:len(restarts)-8],                                  // cut off
			append(bytes.Clone(restarts[:third]), 0xff, 0xd9),           // cut off, and ended
			other, // of 65344 x 65296 pixels, says its header
		} {
			send(file)
			if b.Status().Corrupt == uint64(i) {
				require.Error(t, b.next().Image(new(preprocess.Image)))
			} else {
				b.none()
			}
			require.Equal(t, uint64(i+1), b.Status().Corrupt)
		}
		good(append([]byte("\xff\xd8"), restarts...)) // two start markers
		require.Equal(t, uint64(4), b.Status().Corrupt)
		for began := time.Now(); b.Status().State == Streaming && time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
			send(other)
		}
		require.Equal(t, Stalled, b.Status().State)
		require.Contains(t, b.Status().Error, "a frame of 65344x65296 pixels, agreed to was 64x16")
	})
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
