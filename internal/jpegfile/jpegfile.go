// Package jpegfile reads what a JPEG file says before its compressed data.
package jpegfile

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Markers of ITU-T T.81, table B.1, after their 0xff.
const (
	markerTEM   = 0x01
	markerSOF0  = 0xc0 // frame header, baseline; SOF2 is progressive
	markerSOF2  = 0xc2
	markerDHT   = 0xc4 // Huffman tables
	markerRST0  = 0xd0
	MarkerSOI   = 0xd8
	MarkerEOI   = 0xd9
	MarkerSOS   = 0xda // compressed data follow
	markerAPP1  = 0xe1
	markerAPP14 = 0xee // Adobe's
)

// ErrNotJPEG is for files without a scan.
var ErrNotJPEG = errors.New("not a JPEG file")

// Header is what comes before the first scan.
type Header struct {
	Width, Height int    // in pixels; 0 without a frame header of a kind that image/jpeg reads
	Exif          []byte // the first Exif segment's TIFF structure, a view into the file; nil if there is none
	ExifAt        [2]int // where that segment begins and ends
	Tables        bool   // there are Huffman tables
	Scan          int    // where the first scan's header begins, in bytes
}

// Parse reads the segments up to the first scan. Where one is cut off or makes
// no sense it fails, and returns what those before it say. It allocates
// nothing.
func Parse(file []byte) (h Header, err error) {
	if !bytes.HasPrefix(file, []byte{0xff, MarkerSOI}) {
		return h, ErrNotJPEG
	}
	for at := 2; at+4 <= len(file) && file[at] == 0xff; {
		marker := file[at+1]
		// The length counts its own two bytes, not the marker's.
		end := at + 2 + int(binary.BigEndian.Uint16(file[at+2:]))
		switch {
		case marker == 0xff: // fill byte
			at++
			continue
		case Bare(marker):
			at += 2
			continue
		case marker == MarkerSOS:
			h.Scan = at
			return h, nil
		case marker == 0 || marker == MarkerSOI || marker == MarkerEOI || end < at+4 || end > len(file):
			return h, ErrNotJPEG
		}
		if h.add(marker, file[at+4:end]) {
			h.ExifAt = [2]int{at, end}
		}
		at = end
	}
	return h, ErrNotJPEG
}

// Bare tells whether a marker stands alone, with no segment behind it.
func Bare(marker uint8) bool {
	return marker == markerTEM || marker >= markerRST0 && marker < MarkerSOI
}

// add takes note of a segment, and tells whether it is the one of Exif.
func (h *Header) add(marker uint8, segment []byte) (exif bool) {
	switch {
	case marker == markerDHT:
		h.Tables = true
	case marker >= markerSOF0 && marker <= markerSOF2 && len(segment) >= 5 && h.Width == 0:
		h.Height, h.Width = int(binary.BigEndian.Uint16(segment[1:])), int(binary.BigEndian.Uint16(segment[3:]))
	case marker == markerAPP1 && h.Exif == nil:
		if tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok {
			h.Exif = tiff
			return true
		}
	}
	return false
}
