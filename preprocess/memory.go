package preprocess

import (
	"fmt"
	"image"
	"image/color"

	"edgeclassify/internal/jpegfile"
)

// DefaultMemory is what decoding may take where Limits do not say.
const DefaultMemory = 1 << 30 // bytes

// Limits bound what decoding a picture takes. They are held to by what its file says
// of it, before memory is spent. The zero Limits are the default ones.
type Limits struct {
	Memory int64 // bytes of file, decoder and picture together; 0 stands for DefaultMemory
}

func (l Limits) memory() int64 {
	if l.Memory <= 0 {
		return DefaultMemory
	}
	return l.Memory
}

// file is how many bytes a file may have.
func (l Limits) file() int64 { return min(maxFile, l.memory()) }

// more says how to be allowed as much, where that can be chosen.
func (l Limits) more(need int64) string {
	if l.Memory == 0 {
		return ""
	}
	return ", or allow more: -picture-memory " + megabytes(need)
}

const (
	// Encoders go through the pixels of a progressive JPEG file 4 to 10 times. More
	// passes than this cost time and show nothing.
	maxPasses = 32
	// fewVisits, of blocks, take a Raspberry Pi Zero 2 W about half a second, however
	// many passes they are.
	fewVisits = 1 << 20
)

// check refuses what takes too much memory or time.
func (l Limits) check(h head, file []byte) error {
	if need := h.memory + int64(len(file)); need > l.memory() {
		return fmt.Errorf("%w: decoding %dx%d pixels of this kind takes %s of memory, and it may take %s: "+
			"scale it down or save it as baseline JPEG%s",
			ErrTooLarge, h.width, h.height, megabytes(need), megabytes(l.memory()), l.more(need))
	}
	if w := h.work; w.Visits > max(maxPasses*w.Blocks, fewVisits) {
		return fmt.Errorf("%w: its %d scans go through the pixels %d times: save it again as baseline JPEG",
			ErrTooLarge, w.Scans, w.Visits/w.Blocks)
	}
	return nil
}

// megabytes is a size as people write it, rounded up.
func megabytes(n int64) string { return fmt.Sprintf("%dMB", (n+1e6-1)/1e6) }

// What follows is the memory that decoders take at most, in bytes, besides the file,
// and set beyond it. Pictures that live side by side are counted together.

// jpegMemory: samples; of progressive files all coefficients, as 32-bit numbers; and
// packed pixels where the file has inks, or red, green and blue.
func jpegMemory(w jpegfile.Work, pixels int64) int64 {
	const block = 64
	memory := block * w.Blocks
	if w.Progressive {
		memory += 4 * block * w.Blocks
	}
	switch {
	case w.Components == 4:
		memory += (4 + 3) * pixels
	case w.RGB:
		memory += 4 * pixels
	}
	return memory
}

// pngMemory: grey of 1 byte, all else of 4, or twice that; of interlaced files the
// pictures of the passes, too; palettes become RGB. clear tells of a transparent colour.
func pngMemory(file []byte, pixels int64) int64 {
	const grey, palette = 0, 3 // types of colour
	depth, colour, interlaced := file[24], file[25], file[28] != 0
	memory, rgb := 4*pixels, int64(0)
	if clear := chunk(file[8:], "tRNS", pngChunk) != nil; colour == grey && !clear {
		memory = pixels
	}
	if colour == palette {
		memory, rgb = pixels, 3*pixels
	}
	if depth == 16 {
		memory *= 2
	}
	if interlaced {
		memory *= 2
	}
	return memory + rgb
}

// gifMemory: indices, twice where they are interlaced, and RGB.
func gifMemory(pixels int64) int64 { return (2 + 3) * pixels }

// bmpMemory: indices and RGB, or RGBA.
func bmpMemory(pixels int64) int64 { return 4 * pixels }

// webpMemory: 4:2:0 of whole blocks of 16x16; where there is alpha, that and the RGBA
// it comes from; without loss RGBA, that of indices, and the tables of its tiles.
func webpMemory(file []byte, width, height int) int64 {
	pixels := int64(width) * int64(height)
	const lossless = (4 + 4 + 1)
	if chunk(file[12:], "VP8L", riffChunk) != nil {
		return lossless * pixels
	}
	memory := int64(width+15) * int64(height+15) * 3 / 2
	if chunk(file[12:], "ALPH", riffChunk) != nil {
		memory += (lossless + 1) * pixels
	}
	return memory + int64(len(file)) // it copies the data
}

// tiffMemory: pixels as wide as the file has them, which become RGB where alpha
// multiplies them or they are indices; and the data of a strip or tile, for which the
// decoder takes up to 8 bytes a pixel, in memory that grows by doubling.
func tiffMemory(file []byte, c image.Config) int64 {
	const compression, plain, rowsPerStrip, tileWidth, tileLength, extraSamples = 259, 1, 278, 322, 323, 338
	width, height := int64(c.Width), int64(c.Height)
	wide := int64(8)
	switch c.ColorModel {
	case color.GrayModel:
		wide = 1
	case color.Gray16Model:
		wide = 2
	case color.RGBAModel, color.NRGBAModel:
		wide = 4
	}
	if _, ok := c.ColorModel.(color.Palette); ok {
		wide = 1 + 3
	}
	if _, ok := tiffEntry(file, extraSamples); ok {
		wide += 3
	}
	block := width * height
	if _, tiled := tiffEntry(file, tileWidth); tiled {
		w, h := tiffValue(file, tileWidth), tiffValue(file, tileLength)
		if block = w * h; block == 0 { // it is not plain to see
			block = (max(width, 1024) + 16) * (max(height, 1024) + 16) // the decoder's bound
		}
	} else if rows := tiffValue(file, rowsPerStrip); rows > 0 {
		block = width * min(height, rows)
	}
	data := 8 * block
	if tiffValue(file, compression) == plain {
		data = min(data, int64(len(file)))
	}
	return wide*width*height + 3*data
}
