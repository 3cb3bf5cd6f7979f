package jpegfile

import (
	"bytes"
	"encoding/binary"
)

// Work is what image/jpeg goes through to decode a file.
type Work struct {
	Components  int
	Progressive bool
	RGB         bool  // it may be red, green and blue, as Adobe's segment or names of components say
	Blocks      int64 // of 8x8 samples, of all components, as many as whole MCUs have
	Scans       int
	Visits      int64 // of blocks, in all scans
}

// component is a plane of a picture.
type component struct {
	id     uint8
	blocks int64
}

// Measure finds out by the markers, without decoding, as leniently as image/jpeg
// follows them. It allocates nothing.
func Measure(file []byte) (w Work) {
	var components [4]component
	for at := 2; ; {
		marker := 0
		if marker, at = next(file, at); marker < 0 || marker == MarkerEOI {
			return w
		}
		if marker >= markerRST0 && marker < MarkerSOI {
			continue
		}
		if at+2 > len(file) {
			return w
		}
		end := at + int(binary.BigEndian.Uint16(file[at:]))
		if end < at+2 || end > len(file) {
			return w
		}
		segment := file[at+2 : end]
		switch {
		case marker >= markerSOF0 && marker <= markerSOF2 && w.Components == 0:
			w.Progressive = marker == markerSOF2
			w.frame(segment, &components)
		case marker == markerAPP14 && len(segment) >= 12 && bytes.HasPrefix(segment, []byte("Adobe")):
			w.RGB = segment[11] == 0
		case marker == MarkerSOS:
			w.scan(segment, &components)
		}
		at = end
	}
}

// next finds a marker and what is behind it; marker is -1 where there is none. Bytes
// of compressed data are no markers.
func next(file []byte, at int) (marker, behind int) {
	for at < len(file) {
		skip := bytes.IndexByte(file[at:], 0xff)
		if skip < 0 {
			break
		}
		for at += skip; at < len(file) && file[at] == 0xff; at++ { // fill bytes
		}
		if at < len(file) && file[at] != 0 {
			return int(file[at]), at + 1
		}
	}
	return -1, len(file)
}

// frame takes note of a frame's header, whose components follow its size.
func (w *Work) frame(segment []byte, components *[4]component) {
	const head, each = 6, 3 // bytes
	if len(segment) < head || segment[5] == 0 || int(segment[5]) > len(components) || len(segment) < head+each*int(segment[5]) {
		return
	}
	w.Components = int(segment[5])
	height, width := int64(binary.BigEndian.Uint16(segment[1:])), int64(binary.BigEndian.Uint16(segment[3:]))
	sampling := func(i int) (h, v int64) {
		if w.Components == 1 { // which is not interleaved, whatever it says (T.81, A.2.2)
			return 1, 1
		}
		hv := segment[head+each*i+1]
		return max(int64(hv>>4), 1), max(int64(hv&15), 1)
	}
	h0, v0 := sampling(0)
	mcus := ((width + 8*h0 - 1) / (8 * h0)) * ((height + 8*v0 - 1) / (8 * v0))
	for i := range w.Components {
		h, v := sampling(i)
		components[i] = component{segment[head+each*i], mcus * h * v}
		w.Blocks += components[i].blocks
	}
	if w.Components == 3 && components[0].id == 'R' && components[1].id == 'G' && components[2].id == 'B' {
		w.RGB = true
	}
}

// scan counts the blocks of a scan's components.
func (w *Work) scan(segment []byte, components *[4]component) {
	w.Scans++
	if len(segment) == 0 {
		return
	}
	for i := 1; i <= 2*int(segment[0]) && i < len(segment); i += 2 {
		for _, c := range components[:w.Components] {
			if c.id == segment[i] {
				w.Visits += c.blocks
			}
		}
	}
}
