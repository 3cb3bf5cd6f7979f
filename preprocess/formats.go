package preprocess

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"slices"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"edgeclassify/internal/jpegfile"
)

// format is a kind of file that Decode reads.
type format struct {
	name   string
	magic  string // ? is any byte
	head   func(file []byte) (head, error)
	decode func(io.Reader) (image.Image, error)

	// pixelsPerByte is how many pixels one byte of file can hold at the very
	// best. It unmasks headers that promise more than the file can keep,
	// before memory is spent on them.
	pixelsPerByte int

	limited bool // YCbCr is of limited range, which its decoder does not say
}

// head is what a file says of its picture before it is decoded.
type head struct {
	width, height int
	orientation   Orientation
	memory        int64         // that decoding takes at most, besides the file
	work          jpegfile.Work // of a JPEG file
}

func (h head) pixels() int64 { return int64(h.width) * int64(h.height) }

// deflated is how many pixels a byte holds at best where Deflate shrinks 1032-fold
// and a pixel takes a bit. TIFF's other methods have no such bound, but what goes
// beyond this has one colour.
const deflated = 8 * 1032

// formats returns the kinds of files that Decode reads.
func formats() []format {
	return []format{
		// Each 8x8 block takes at least one bit.
		{"JPEG", "\xff\xd8\xff", jpegHead, jpeg.Decode, 8 * 64, false},
		{"PNG", "\x89PNG\r\n\x1a\n", pngHead, png.Decode, deflated, false},
		// Each block of 16x16 takes a bit; what goes beyond this has one colour.
		{"WebP", "RIFF????WEBP", webpHead, webp.Decode, 8 * 256, true},
		// A code of 12 bits stands for 4096 pixels.
		{"GIF", "GIF8?a", gifHead, gif.Decode, 8 * 4096 / 12, false},
		{"BMP", "BM????\x00\x00\x00\x00", bmpHead, bmp.Decode, 1, false},
		{"TIFF", "II*\x00", tiffHead, tiff.Decode, deflated, false},
		{"TIFF", "MM\x00*", tiffHead, tiff.Decode, deflated, false},
	}
}

// identify finds the kind of a file by its first bytes.
func identify(file []byte) (format, error) {
	if len(file) == 0 {
		return format{}, fmt.Errorf("%w: the file is empty", ErrEmpty)
	}
	if f, ok := known(file); ok {
		return f, nil
	}
	if name, with := foreign(file); name != "" {
		return format{}, fmt.Errorf("%w: it is %s: convert it to JPEG first, as %s does", ErrFormat, name, with)
	}
	return format{}, fmt.Errorf("%w: it is neither JPEG, PNG, WebP, GIF, BMP nor TIFF (it begins with %q): convert it to one of them",
		ErrFormat, file[:min(len(file), 8)])
}

func known(file []byte) (format, bool) {
	all := formats()
	i := slices.IndexFunc(all, func(f format) bool { return matches(f.magic, file) })
	if i < 0 {
		return format{}, false
	}
	return all[i], true
}

// KindBytes are as many bytes of a file as Kind needs.
const KindBytes = 64

// Kind names the kind of picture that a file is by its first bytes, as "JPEG", empty
// for no kind. Where Decode does not read it, with is a program that converts it.
func Kind(file []byte) (name, with string) {
	if f, ok := known(file); ok {
		return f.name, ""
	}
	return foreign(file)
}

func matches(magic string, file []byte) bool {
	if len(file) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != file[i] {
			return false
		}
	}
	return true
}

// foreign names a kind of picture that only other programs read, and one of these;
// it is empty for others. HEIC and AVIF are ISO base media files (ISO/IEC 14496-12), which
// begin with the list of brands that they comply with.
func foreign(file []byte) (name, with string) {
	switch {
	case matches("\xff\x0a", file), matches("\x00\x00\x00\x0cJXL ", file):
		return "JPEG XL", "djxl"
	case matches("\x00\x00\x00\x0cjP  ", file), matches("\xff\x4f\xff\x51", file):
		return "JPEG 2000", "opj_decompress"
	case !matches("????ftyp", file):
		return "", ""
	}
	box := file[8:min(uint64(len(file)), max(8, uint64(binary.BigEndian.Uint32(file))))]
	for brand := range slices.Chunk(box, 4) {
		switch string(brand) {
		case "avif", "avis":
			return "AVIF", "avifdec"
		case "heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1":
			name = "HEIC"
		}
	}
	if name == "" {
		return "a film", "ffmpeg"
	}
	return name, "heif-convert"
}

// jpegHead leaves files with a header that makes no sense to image/jpeg, which
// says what is wrong or makes do.
func jpegHead(file []byte) (head, error) {
	header, err := jpegfile.Parse(file)
	config := image.Config{Width: header.Width, Height: header.Height}
	if err != nil || header.Width == 0 {
		config, err = jpeg.DecodeConfig(bytes.NewReader(file))
	}
	h := head{width: config.Width, height: config.Height, orientation: ExifOrientation(header.Exif), work: jpegfile.Measure(file)}
	h.memory = jpegMemory(h.work, h.pixels())
	return h, err
}

func pngHead(file []byte) (head, error) {
	config, err := png.DecodeConfig(bytes.NewReader(file))
	h := head{width: config.Width, height: config.Height, orientation: ExifOrientation(chunk(file[8:], "eXIf", pngChunk))}
	if err == nil {
		h.memory = pngMemory(file, h.pixels())
	}
	return h, err
}

func gifHead(file []byte) (head, error) {
	config, err := gif.DecodeConfig(bytes.NewReader(file))
	h := head{width: config.Width, height: config.Height}
	h.memory = gifMemory(h.pixels())
	return h, err
}

func bmpHead(file []byte) (head, error) {
	config, err := bmp.DecodeConfig(bytes.NewReader(file))
	h := head{width: config.Width, height: config.Height}
	h.memory = bmpMemory(h.pixels())
	return h, err
}

func tiffHead(file []byte) (head, error) {
	config, err := tiff.DecodeConfig(bytes.NewReader(file))
	h := head{width: config.Width, height: config.Height, orientation: ExifOrientation(file)}
	if err == nil {
		h.memory = tiffMemory(file, config)
	}
	return h, err
}

func webpHead(file []byte) (head, error) {
	const first, animated = 12, 0x02 // of the first chunk; a flag in VP8X
	if len(file) > first+8 && string(file[first:][:4]) == "VP8X" && file[first+8]&animated != 0 {
		return head{}, errAnimated
	}
	config, err := webp.DecodeConfig(bytes.NewReader(file))
	exif := bytes.TrimPrefix(chunk(file[first:], "EXIF", riffChunk), []byte("Exif\x00\x00"))
	h := head{width: config.Width, height: config.Height, orientation: ExifOrientation(exif)}
	if err == nil {
		h.memory = webpMemory(file, h.width, h.height)
	}
	return h, err
}

// chunk finds the data of a chunk by its name, nil where there is none. What is at
// the beginning of a chunk gives its name, the length of its data, which follow 8
// bytes, and how far the next chunk is behind these.
func chunk(file []byte, name string, parse func(file []byte) (name string, length, next uint64)) []byte {
	for len(file) >= 8 {
		found, length, next := parse(file)
		data := file[8:]
		if length > uint64(len(data)) {
			return nil
		}
		if found == name {
			return data[:length]
		}
		file = data[min(next, uint64(len(data))):]
	}
	return nil
}

// pngChunk ends with a checksum.
func pngChunk(file []byte) (name string, length, next uint64) {
	n := uint64(binary.BigEndian.Uint32(file))
	return string(file[4:8]), n, n + 4
}

// riffChunk has an even length.
func riffChunk(file []byte) (name string, length, next uint64) {
	n := uint64(binary.LittleEndian.Uint32(file[4:]))
	return string(file[:4]), n, n + n%2
}
