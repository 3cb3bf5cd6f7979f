package preprocess

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"edgeclassify/internal/jpegfile"
)

// kindsOfFiles are files of every kind whose decoders take memory of their own, each
// large enough that only pixels count.
func kindsOfFiles(t *testing.T) map[string][]byte {
	files := map[string][]byte{}
	for _, path := range pictures(t) {
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		files[filepath.Base(path)] = file
	}
	bounds := image.Rect(0, 0, 400, 300)
	palette := image.NewPaletted(bounds, color.Palette{color.Black, color.White, color.NRGBA{1, 2, 3, 255}})
	for name, img := range map[string]draw.Image{
		"grey": image.NewGray(bounds), "grey16": image.NewGray16(bounds), "rgb": image.NewRGBA(bounds), "rgb16": image.NewRGBA64(bounds),
		"alpha": image.NewNRGBA(bounds), "alpha16": image.NewNRGBA64(bounds), "palette": palette,
	} {
		if _, ok := img.(*image.NRGBA); !ok {
			pattern(img)
		}
		var asPNG, asTIFF, plainTIFF bytes.Buffer
		require.NoError(t, png.Encode(&asPNG, img))
		require.NoError(t, tiff.Encode(&asTIFF, img, &tiff.Options{Compression: tiff.Deflate, Predictor: true}))
		require.NoError(t, tiff.Encode(&plainTIFF, img, nil))
		files[name+".png"], files[name+"-deflated.tif"], files[name+".tif"] = asPNG.Bytes(), asTIFF.Bytes(), plainTIFF.Bytes()
	}
	var asGIF, asBMP bytes.Buffer
	require.NoError(t, gif.Encode(&asGIF, palette, nil))
	require.NoError(t, bmp.Encode(&asBMP, pattern(image.NewRGBA(bounds))))
	files["palette.gif"], files["rgb.bmp"] = asGIF.Bytes(), asBMP.Bytes()
	return files
}

// No decoder takes more than is known before it begins.
func TestMemoryIsKnownBeforeDecoding(t *testing.T) {
	const slack = 300 << 10 // tables of decoders, buffers of reading
	for name, file := range kindsOfFiles(t) {
		f, err := identify(file)
		require.NoError(t, err)
		h, err := f.head(file)
		require.NoError(t, err)
		require.NotZero(t, h.memory, name)
		var decoded *Image
		allocated := allocatedBytes(func() { decoded, err = Decode(file) })
		require.NoError(t, err, name)
		require.NotNil(t, decoded)
		t.Logf("%-28s %9d bytes taken, %9d known", name, allocated, h.memory)
		require.Less(t, int64(allocated), h.memory+int64(len(file))+slack, name)

		// One byte less is refused, and nothing is decoded.
		need := h.memory + int64(len(file))
		allocated = allocatedBytes(func() { _, err = Limits{Memory: need - 1}.Decode(file) })
		require.ErrorIs(t, err, ErrTooLarge, name)
		require.ErrorContains(t, err, "-picture-memory ")
		require.Less(t, allocated, uint64(slack), name)
		_, err = Limits{Memory: need}.Decode(file)
		require.NoError(t, err, name)
	}
}

// Large pictures one after the other take the memory of one.
func TestPicturesBeforeDoNotCount(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	file := encodePNG(t, image.NewNRGBA64(image.Rect(0, 0, 1000, 500)))
	const size = 8 * 1000 * 500
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 3 {
		_, err := Limits{Memory: 2 * size}.Decode(file)
		require.NoError(t, err)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(size+size/2))
}

// Large pictures in small files.
func TestBombsAreRefused(t *testing.T) {
	cmyk, err := os.ReadFile(filepath.Join(testdata, "oddities", "cmyk.jpg"))
	require.NoError(t, err)
	progressive := bytes.Replace(withSize(cmyk, 10_000, 10_000), []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1)
	progressive = append(progressive, make([]byte, 1<<20)...)
	for name, file := range map[string][]byte{
		"jpeg": progressive, "png": append(pngHeader(10_000, 10_000), make([]byte, 1<<20)...),
	} {
		var err error
		allocated := allocatedBytes(func() { _, err = Limits{Memory: 128e6}.Decode(file) })
		require.ErrorIs(t, err, ErrTooLarge, name)
		require.ErrorContains(t, err, "decoding 10000x10000 pixels", name)
		require.ErrorContains(t, err, "it may take 128MB", name)
		require.Less(t, allocated, uint64(1<<20), name)
	}
	_, err = Decode(progressive)
	require.ErrorIs(t, err, ErrTooLarge, "by default, too")
	require.NotContains(t, err.Error(), "-picture-memory", "there is nothing to choose")
}

// A file that is larger than what may be taken is not read to its end.
func TestLargeFilesAreNotRead(t *testing.T) {
	l := Limits{Memory: 1e6}
	file, err := l.Read(bytes.NewReader(make([]byte, 5e6)))
	require.NoError(t, err)
	require.Len(t, file, 1e6+1)
	_, err = l.Decode(file)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "more than 1MB of file")
}

// withScans repeats the first scan of a progressive file.
func withScans(t *testing.T, file []byte, more int) []byte {
	first, tables := bytes.Index(file, []byte{0xff, 0xda}), []byte{0xff, 0xc4}
	length := bytes.Index(file[first:], tables)
	require.Positive(t, length)
	scan := file[first:][:length]
	return bytes.Join([][]byte{file[:first], bytes.Repeat(scan, more), file[first:]}, nil)
}

func TestScansAreBounded(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(testdata, "oddities", "progressive-420.jpg"))
	require.NoError(t, err)
	few := jpegfile.Measure(file)
	require.LessOrEqual(t, few.Visits, 10*few.Blocks)
	many := withScans(t, file, 100)
	w := jpegfile.Measure(many)
	require.Equal(t, few.Scans+100, w.Scans)
	_, err = Decode(many)
	require.NoError(t, err, "few blocks may be gone through more often")

	each := (w.Visits - few.Visits) / 100
	many = withScans(t, file, int(fewVisits/each))
	allocated := allocatedBytes(func() { _, err = Decode(many) })
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "scans go through the pixels")
	require.ErrorContains(t, err, "save it again as baseline JPEG")
	require.Less(t, allocated, uint64(100<<10))
}

// A large picture may be gone through as often as any encoder does, whatever its size.
func TestScansOfLargePictures(t *testing.T) {
	blocks := int64(100e6 / 64)
	for passes, fine := range map[int64]bool{10: true, maxPasses: true, maxPasses + 1: false} {
		err := Limits{}.check(head{width: 10_000, height: 10_000, work: jpegfile.Work{Blocks: blocks, Scans: 40, Visits: passes * blocks}}, nil)
		require.Equal(t, fine, err == nil, passes)
	}
}

// A strip or tile may be larger than the picture.
func TestMemoryOfTiles(t *testing.T) {
	var file bytes.Buffer
	require.NoError(t, tiff.Encode(&file, image.NewGray(image.Rect(0, 0, 64, 64)), nil))
	config, err := tiff.DecodeConfig(bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	change := func(tag, as uint16, value uint32) []byte {
		changed := bytes.Clone(file.Bytes())
		for at := int(binary.LittleEndian.Uint32(changed[4:])) + 2; at+12 <= len(changed); at += 12 {
			if binary.LittleEndian.Uint16(changed[at:]) == tag {
				binary.LittleEndian.PutUint16(changed[at:], as)
				binary.LittleEndian.PutUint16(changed[at+2:], typeLong)
				binary.LittleEndian.PutUint32(changed[at+8:], value)
			}
		}
		return changed
	}
	const rowsPerStrip, compression, deflate = 278, 259, 8
	plain := tiffMemory(file.Bytes(), config)
	require.Equal(t, int64(64*64+3*file.Len()), plain, "no more than the file")
	deflated := change(compression, compression, deflate)
	require.Equal(t, int64(64*64+3*8*64*64), tiffMemory(deflated, config))
	file.Reset()
	file.Write(deflated)
	require.Equal(t, int64(64*64+3*8*64*8), tiffMemory(change(rowsPerStrip, rowsPerStrip, 8), config))
	require.Equal(t, int64(64*64+3*8*1040*1040), tiffMemory(change(rowsPerStrip, 322, 1024), config), "a tile of no length")
}

// No file makes a decoder take more than it tells before.
func FuzzMemory(f *testing.F) {
	for _, name := range []string{"progressive-420.jpg", "alpha-lossy.webp", "palette-transparent.png"} {
		file, err := os.ReadFile(filepath.Join(testdata, "oddities", name))
		require.NoError(f, err)
		f.Add(file)
	}
	var asTIFF, asGIF, asBMP bytes.Buffer
	img := image.NewPaletted(image.Rect(0, 0, 20, 17), color.Palette{color.Black, color.White})
	require.NoError(f, errors.Join(tiff.Encode(&asTIFF, img, &tiff.Options{Compression: tiff.Deflate}), gif.Encode(&asGIF, img, nil), bmp.Encode(&asBMP, img)))
	f.Add(asTIFF.Bytes())
	f.Add(asGIF.Bytes())
	f.Add(asBMP.Bytes())
	const most, slack = 64e6, 700 << 10 // bytes; the second for tables
	f.Fuzz(func(t *testing.T, file []byte) {
		kind, err := identify(file)
		if err != nil {
			return
		}
		h, err := kind.head(file)
		if err != nil {
			return
		}
		allocated := allocatedBytes(func() { _, err = Limits{Memory: most}.Decode(file) })
		require.LessOrEqual(t, int64(allocated), min(h.memory+int64(len(file)), most)+slack)
	})
}
