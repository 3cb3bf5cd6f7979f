package preprocess

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

func encodePNG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}))
	return b.Bytes()
}

// pattern fills img, of any type, with opaque colour.
func pattern(img draw.Image) draw.Image {
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			img.Set(x, y, color.NRGBA64{uint16(x * 997), uint16(y * 1009), uint16(x * y * 31), 0xffff})
		}
	}
	return img
}

// rgbOf reads back every pixel of a decoded RGB or grey picture.
func rgbOf(t *testing.T, data []byte) []uint8 {
	p, err := Decode(data)
	require.NoError(t, err)
	require.NoError(t, p.check())
	require.NotEqual(t, ModelYCbCr, p.Model)
	var rgb []uint8
	for y := range p.Height {
		for x := range p.Width {
			for c := range 3 {
				rgb = append(rgb, at(p, min(c, p.Model.planes()-1), x, y))
			}
		}
	}
	return rgb
}

func TestDecodePNGKinds(t *testing.T) {
	bounds := image.Rect(0, 0, 33, 21)
	var palette color.Palette
	for i := range 200 {
		palette = append(palette, color.NRGBA{uint8(i), uint8(255 - i), uint8(7 * i), 255})
	}
	for name, img := range map[string]draw.Image{
		"gray": image.NewGray(bounds), "gray16": image.NewGray16(bounds),
		"rgb": image.NewRGBA(bounds), "rgb16": image.NewRGBA64(bounds),
		"palette": image.NewPaletted(bounds, palette),
	} {
		t.Run(name, func(t *testing.T) {
			pattern(img)
			var want []uint8
			for y := range bounds.Dy() {
				for x := range bounds.Dx() {
					r, g, b, _ := img.At(x, y).RGBA()
					want = append(want, uint8(r>>8), uint8(g>>8), uint8(b>>8))
				}
			}
			require.Equal(t, want, rgbOf(t, encodePNG(t, img)))
		})
	}
}

func TestDecodeDropsAlpha(t *testing.T) {
	bounds := image.Rect(0, 0, 33, 21)
	eight, sixteen := image.NewNRGBA(bounds), image.NewNRGBA64(bounds)
	palette := image.NewPaletted(bounds, color.Palette{color.NRGBA{200, 100, 50, 0}, color.NRGBA{200, 100, 50, 77}})
	for i := range 33 * 21 {
		x, y := i%33, i/33
		eight.SetNRGBA(x, y, color.NRGBA{200, 100, 50, uint8(i)})
		sixteen.SetNRGBA64(x, y, color.NRGBA64{200<<8 | 9, 100<<8 | 255, 50 << 8, uint16(i * 99)})
		palette.SetColorIndex(x, y, uint8(i%2))
	}
	want := bytes.Repeat([]uint8{200, 100, 50}, 33*21)
	for _, img := range []image.Image{eight, sixteen, palette} {
		require.Equal(t, want, rgbOf(t, encodePNG(t, img)), "%T", img)
	}
}

func TestDecodeJPEGKinds(t *testing.T) {
	p, err := Decode(encodeJPEG(t, pattern(image.NewGray(image.Rect(0, 0, 33, 21)))))
	require.NoError(t, err)
	require.Equal(t, Geometry{Width: 33, Height: 21, Model: ModelGray}, p.Geometry)

	colour := encodeJPEG(t, pattern(image.NewRGBA(image.Rect(0, 0, 33, 21))))
	p, err = Decode(colour)
	require.NoError(t, err)
	require.Equal(t, Geometry{33, 21, ModelYCbCr, [2]Subsampling{{2, 0}, {2, 0}}}, p.Geometry)

	p, err = Decode(withExif(colour, exifSegment(binary.BigEndian, 6)))
	require.NoError(t, err)
	require.Equal(t, Geometry{21, 33, ModelYCbCr, [2]Subsampling{{2, 1}, {2, 0}}}, p.Geometry)
}

// A picture in memory is the picture that its PNG file holds.
func TestSetReadsWhatAFileOfItHolds(t *testing.T) {
	bounds := image.Rect(-3, 5, 47, 41)
	palette := color.Palette{color.NRGBA{200, 100, 50, 255}, color.NRGBA{10, 20, 30, 77}, color.Gray{9}}
	for _, img := range []draw.Image{
		image.NewGray(bounds), image.NewGray16(bounds), image.NewRGBA(bounds), image.NewNRGBA(bounds),
		image.NewRGBA64(bounds), image.NewNRGBA64(bounds), image.NewPaletted(bounds, palette), image.NewAlpha(bounds),
	} {
		for _, opaque := range []bool{true, false} {
			for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
				for x := bounds.Min.X; x < bounds.Max.X; x++ {
					c := color.NRGBA64{uint16(x * 997), uint16(y * 1009), uint16(x * y * 31), 0xffff}
					if !opaque {
						c.A = uint16(x * y * 77)
					}
					img.Set(x, y, c)
				}
			}
			part := img.(interface {
				SubImage(image.Rectangle) image.Image
			}).SubImage(image.Rect(0, 10, 33, 41))
			images := []image.Image{img, part}
			if _, deep := img.(*image.NRGBA64); opaque || !deep { // a file has 8 bits of what it does not know
				images = append(images, struct{ image.Image }{part})
			}
			for _, img := range images {
				want, err := Decode(encodePNG(t, img))
				require.NoError(t, err)
				p := new(Image)
				require.NoError(t, p.Set(img))
				require.Equal(t, resize(t, small(), want), resize(t, small(), p), "%T, opaque %v", img, opaque)
			}
		}
	}
}

func TestSetPlacesChroma(t *testing.T) {
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		whole := image.NewYCbCr(image.Rect(0, 0, 60, 50), ratio)
		for _, samples := range [][]uint8{whole.Y, whole.Cb, whole.Cr} {
			for i := range samples {
				samples[i] = uint8(i * 7)
			}
		}
		for offset := range 4 {
			img := whole.SubImage(image.Rect(offset, offset, 57, 47)).(*image.YCbCr)
			p := new(Image)
			require.NoError(t, p.Set(img))
			require.NoError(t, errors.Join(p.Geometry.validate(), p.check()))
			for y := range p.Height {
				for x := range p.Width {
					c := img.YCbCrAt(offset+x, offset+y)
					cx, cy := (x+p.Chroma[0].Lead)/p.Chroma[0].Factor, (y+p.Chroma[1].Lead)/p.Chroma[1].Factor
					require.Equal(t, c, color.YCbCr{Y: at(p, 0, x, y), Cb: at(p, 1, cx, cy), Cr: at(p, 2, cx, cy)})
				}
			}
			require.Zero(t, testing.AllocsPerRun(10, func() {
				if err := p.Set(img); err != nil {
					t.Fatal(err)
				}
			}))
		}
	}
	p := new(Image)
	require.NoError(t, p.Set(image.NewYCbCr(image.Rect(-1, -1, 30, 30), image.YCbCrSubsampleRatio420)))
	require.Equal(t, ModelRGB, p.Model, "read pixel by pixel")
}

func TestSetRefuses(t *testing.T) {
	p := new(Image)
	require.ErrorIs(t, p.Set(nil), ErrEmpty)
	require.ErrorIs(t, p.Set(&image.RGBA{}), ErrTooSmall)
	require.ErrorIs(t, p.Set(image.Black), ErrTooLarge, "everywhere")
	require.ErrorIs(t, p.Set(&image.YCbCr{Rect: image.Rect(0, 0, 20, 20), SubsampleRatio: -1}), ErrFormat)
}

func TestDecodeRefuses(t *testing.T) {
	plain := func(width, height int) image.Image { return image.NewGray(image.Rect(0, 0, width, height)) }
	good := encodeJPEG(t, pattern(image.NewRGBA(image.Rect(0, 0, 64, 48))))
	goodPNG := encodePNG(t, pattern(image.NewRGBA(image.Rect(0, 0, 64, 48))))
	flipped := bytes.Clone(goodPNG)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		file []byte
		want error
		says string
	}{
		"empty":           {nil, ErrEmpty, "the file is empty"},
		"text":            {[]byte("hello, world"), ErrFormat, "neither JPEG, PNG, WebP"},
		"gif magic only":  {[]byte("GIF89a"), ErrDamaged, "copy it again"},
		"heic":            {ftyp("heic", "mif1", "heic"), ErrFormat, "it is HEIC: convert it to JPEG first, as heif-convert does"},
		"avif":            {ftyp("mif1", "mif1", "avif"), ErrFormat, "it is AVIF"},
		"film":            {ftyp("isom", "mp42"), ErrFormat, "film"},
		"cut ftyp":        {ftyp("heic")[:10], ErrFormat, "film"},
		"jpeg xl":         {[]byte("\xff\x0a\x00"), ErrFormat, "JPEG XL"},
		"animated webp":   {animatedWebP(t), ErrFormat, "it is animated"},
		"truncated webp":  {firstHalf(t, "alpha-lossless.webp"), ErrDamaged, "copy it again"},
		"truncated lossy": {firstHalf(t, "turned-lossy.webp"), ErrDamaged, "copy it again"},
		"truncated tiff":  {firstHalf(t, "turned-tiff.tif"), ErrDamaged, "copy it again"},
		"truncated bmp":   {firstHalf(t, "palette.bmp"), ErrDamaged, "cannot hold"},
		"truncated gif":   {firstHalf(t, "first.gif")[:5000], ErrDamaged, "copy it again"},
		"hollow webp":     {hollowWebP(10_000, 10_000), ErrDamaged, "cannot hold 10000x10000"},
		"hostile webp":    {hollowWebP(16_384, 16_384), ErrTooLarge, "16384x16384"},
		"jpeg magic only": {good[:3], ErrDamaged, "ends early"},
		"truncated jpeg":  {good[:len(good)*2/3], ErrDamaged, "copy it again"},
		"truncated png":   {goodPNG[:len(goodPNG)*2/3], ErrDamaged, "copy it again"},
		"flipped bit":     {flipped, ErrDamaged, "copy it again"},
		"one pixel":       {encodePNG(t, plain(1, 1)), ErrTooSmall, "1x1"},
		"15 pixels":       {encodePNG(t, plain(200, 15)), ErrTooSmall, "at least 16"},
		"long":            {encodePNG(t, plain(20_000, 16)), ErrTooLong, "20000x16"},
		"thin":            {encodePNG(t, plain(20_000, 10)), ErrTooSmall, "20000x10"},
		"hostile png":     {pngHeader(10_001, 10_000), ErrTooLarge, "10001x10000"},
		"hollow png":      {pngHeader(10_000, 10_000), ErrDamaged, "cannot hold 10000x10000"},
		"hostile jpeg":    {withSize(good, 65_500, 65_500), ErrTooLarge, "65500x65500"},
		"hollow jpeg":     {withSize(good, 10_000, 10_000), ErrDamaged, "cannot hold 10000x10000"},
	} {
		t.Run(name, func(t *testing.T) {
			var p *Image
			var err error
			allocated := allocatedBytes(func() { p, err = Decode(c.file) })
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.says)
			require.Nil(t, p)
			require.Less(t, allocated, uint64(1<<20))
		})
	}
}

func TestDecodeAcceptsLimits(t *testing.T) {
	for _, size := range []image.Point{{16, 16}, {256, 16}, {16, 256}} {
		_, err := Decode(encodePNG(t, image.NewGray(image.Rectangle{Max: size})))
		require.NoError(t, err, size)
	}
}

func TestFileErrorsNameTheFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.jpg")
	_, err := Torchvision().File(missing)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, missing)

	text := filepath.Join(t.TempDir(), "note.jpg")
	require.NoError(t, os.WriteFile(text, []byte("not a picture"), 0o600))
	_, err = Torchvision().File(text)
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, text)

	_, err = Spec{}.File(text)
	require.ErrorContains(t, err, "crop")
}

func TestReadPassesErrors(t *testing.T) {
	_, err := Limits{}.Read(iotest.ErrReader(os.ErrDeadlineExceeded))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// ftyp begins a file of ISO base media with a brand and those it complies with.
func ftyp(brands ...string) []byte {
	box := "ftyp" + brands[0] + "\x00\x00\x00\x00" + strings.Join(brands[1:], "")
	return append(binary.BigEndian.AppendUint32(nil, uint32(4+len(box))), box+"\x00\x00\x00\x08mdat"...)
}

// firstHalf is that of an oddity.
func firstHalf(t *testing.T, name string) []byte {
	file, err := os.ReadFile(filepath.Join(testdata, "oddities", name))
	require.NoError(t, err)
	return file[:len(file)/2]
}

func animatedWebP(t *testing.T) []byte {
	file := firstHalf(t, "alpha-lossy.webp")
	require.Equal(t, "VP8X", string(file[12:16]))
	file[20] |= 2
	return file
}

// hollowWebP is a lossless WebP file of so many pixels that holds none.
func hollowWebP(width, height uint32) []byte {
	file := []byte("RIFF\x12\x00\x00\x00WEBPVP8L\x06\x00\x00\x00\x2f")
	return append(binary.LittleEndian.AppendUint32(file, width-1|(height-1)<<14), 0)
}

// Exif is found behind the picture, too, and what is cut off is none.
func TestChunks(t *testing.T) {
	png := encodePNG(t, pattern(image.NewGray(image.Rect(0, 0, 17, 19))))
	exif := binary.BigEndian.AppendUint32(nil, uint32(len(tiffHeader(binary.BigEndian, 8))))
	exif = append(append(append(exif, "eXIf"...), tiffHeader(binary.BigEndian, 8)...), 0, 0, 0, 0)
	end := bytes.Index(png, []byte("IEND")) - 4
	for _, at := range []int{8 + 25, end} {
		head, err := pngHead(slices.Concat(png[:at], exif, png[at:]))
		require.NoError(t, err)
		require.Equal(t, Orientation(8), head.orientation, "behind %d bytes", at)
	}
	head, err := pngHead(slices.Concat(png[:end], exif[:len(exif)-9]))
	require.NoError(t, err)
	require.Equal(t, Upright, head.orientation)
}

func allocatedBytes(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// pngHeader returns a PNG file that promises pixels but holds none.
func pngHeader(width, height uint32) []byte {
	ihdr := []byte("IHDR")
	ihdr = binary.BigEndian.AppendUint32(ihdr, width)
	ihdr = binary.BigEndian.AppendUint32(ihdr, height)
	ihdr = append(ihdr, 16, 6, 0, 0, 0) // 16-bit RGBA
	file := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
	file = append(file, ihdr...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(ihdr))
}

// withSize returns a copy of a baseline JPEG file with another size in its
// frame header.
func withSize(file []byte, width, height uint16) []byte {
	file = bytes.Clone(file)
	frame := bytes.Index(file, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(file[frame+5:], height)
	binary.BigEndian.PutUint16(file[frame+7:], width)
	return file
}

func FuzzDecode(f *testing.F) {
	// Small ones, for the fuzzer to change and not to make smaller.
	tiny := encodeJPEG(f, pattern(image.NewRGBA(image.Rect(0, 0, 3, 2))))
	f.Add(tiny)
	f.Add(withExif(tiny, exifSegment(binary.LittleEndian, 7)))
	f.Add(encodePNG(f, pattern(image.NewGray16(image.Rect(0, 0, 3, 2)))))
	f.Add(pngHeader(16, 16))
	palette := pattern(image.NewPaletted(image.Rect(0, 0, 3, 2), color.Palette{color.Black, color.White}))
	for _, encode := range []func(io.Writer) error{
		func(w io.Writer) error { return gif.Encode(w, palette, &gif.Options{NumColors: 2}) },
		func(w io.Writer) error { return bmp.Encode(w, palette) },
		func(w io.Writer) error { return tiff.Encode(w, palette, nil) },
	} {
		var b bytes.Buffer
		require.NoError(f, encode(&b))
		f.Add(b.Bytes())
	}
	f.Add([]byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"))

	f.Fuzz(func(t *testing.T, file []byte) {
		var p *Image
		var err error
		allocated := allocatedBytes(func() { p, err = Decode(file) })
		// A byte can stand for 8256 pixels of 8 bytes, of whole blocks, each of which
		// some decoders copy.
		require.LessOrEqual(t, allocated, uint64(4<<20+len(file)*2*8*8256))
		if err != nil {
			require.Nil(t, p)
			return
		}
		first, second := resize(t, small(), p), resize(t, small(), p)
		require.Equal(t, first, second)
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"rocket.jpg", "espresso.jpg", "tripod.jpg"} {
		b.Run(name, func(b *testing.B) {
			file, err := os.ReadFile(filepath.Join(testdata, "photos", name))
			require.NoError(b, err)
			for b.Loop() {
				if _, err := Decode(file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
