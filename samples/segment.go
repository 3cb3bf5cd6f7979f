package samples

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"edgeclassify/internal/jpegfile"
)

// Features are what a base model gave for a photograph. They are kept in a segment of
// its JPEG file: an identifier, the base model's SHA-256, the group, the features and a
// CRC-32 (IEEE) of all that, numbers in JPEG's order.
type Features struct {
	Base   string // the base model file's SHA-256, in hexadecimal
	Group  int64  // views of one photograph, or of one burst, share it
	Values []int16
}

const (
	markerAPP0 = 0xe0
	markerAPP1 = 0xe1
	marker     = 0xef // APP15: viewers pass over what they do not know
	identifier = "edge-classify features\x00"
	hashBytes  = 32

	maxSegment = 1<<16 - 1 // with its length
	fixed      = 2 + len(identifier) + hashBytes + 8 + 4
	maxValues  = (maxSegment - fixed) / 2
)

var errNoFeatures = errors.New("no features")

// appendSegment appends f as a segment.
func (f *Features) appendSegment(to []byte) ([]byte, error) {
	hash, err := hex.DecodeString(f.Base)
	if err != nil || len(hash) != hashBytes {
		return nil, fmt.Errorf("features of base model %q: want the SHA-256 of its file, in hexadecimal", f.Base)
	}
	if len(f.Values) == 0 || len(f.Values) > maxValues {
		return nil, fmt.Errorf("%d features: want 1 to %d", len(f.Values), maxValues)
	}
	to = append(to, 0xff, marker)
	to = binary.BigEndian.AppendUint16(to, uint16(fixed+2*len(f.Values)))
	begin := len(to)
	to = append(append(to, identifier...), hash...)
	to = binary.BigEndian.AppendUint64(to, uint64(f.Group))
	for _, v := range f.Values {
		to = binary.BigEndian.AppendUint16(to, uint16(v))
	}
	return binary.BigEndian.AppendUint32(to, crc32.ChecksumIEEE(to[begin:])), nil
}

// parse reads a segment behind its length, into f's own memory.
func (f *Features) parse(segment []byte) error {
	rest, ok := bytes.CutPrefix(segment, []byte(identifier))
	n := len(rest) - hashBytes - 8 - 4
	if !ok || n < 2 || n%2 != 0 {
		return errNoFeatures
	}
	if end := len(segment) - 4; crc32.ChecksumIEEE(segment[:end]) != binary.BigEndian.Uint32(segment[end:]) {
		return fmt.Errorf("%w that are whole", errNoFeatures)
	}
	f.Base = hex.EncodeToString(rest[:hashBytes])
	f.Group = int64(binary.BigEndian.Uint64(rest[hashBytes:]))
	f.Values = f.Values[:0]
	for at := hashBytes + 8; at < hashBytes+8+n; at += 2 {
		f.Values = append(f.Values, int16(binary.BigEndian.Uint16(rest[at:])))
	}
	return nil
}

// read reads the features of a JPEG file, and nothing behind them. scratch is for a
// segment.
func (f *Features) read(r *bufio.Reader, scratch []byte) error {
	if start, err := r.Peek(2); err != nil || start[0] != 0xff || start[1] != jpegfile.MarkerSOI {
		return jpegfile.ErrNotJPEG
	}
	_, _ = r.Discard(2)
	for {
		head, err := r.Peek(4)
		length := 0
		if err == nil {
			length = int(binary.BigEndian.Uint16(head[2:]))
		}
		switch {
		case err != nil || head[0] != 0xff || head[1] == jpegfile.MarkerSOS:
			return errNoFeatures
		case head[1] == 0xff: // fill byte
			length = -1
		case jpegfile.Bare(head[1]):
			length = 0
		case length < 2:
			return errNoFeatures
		case head[1] == marker:
			_, _ = r.Discard(4)
			segment := scratch[:length-2]
			if _, err := io.ReadFull(r, segment); err != nil {
				return errNoFeatures
			}
			if bytes.HasPrefix(segment, []byte(identifier)) {
				return f.parse(segment)
			}
			continue
		}
		if _, err := r.Discard(2 + length); err != nil {
			return errNoFeatures
		}
	}
}

// withFeatures is a JPEG file with f in place of the features that it has. Segments
// that have to be the first, JFIF's and Exif's, stay so.
func withFeatures(file []byte, f *Features) ([]byte, error) {
	header, err := jpegfile.Parse(file)
	if err != nil {
		return nil, err
	}
	if header.Width == 0 || header.Height == 0 {
		return nil, fmt.Errorf("%w that can be read: it has no size", jpegfile.ErrNotJPEG)
	}
	out := make([]byte, 0, len(file)+2+fixed+2*len(f.Values))
	out = append(out, file[:2]...)
	placed := false
	for at := 2; at < header.Scan; {
		m := file[at+1]
		end := at + 2
		switch {
		case m == 0xff:
			at++
			continue
		case !jpegfile.Bare(m):
			end += int(binary.BigEndian.Uint16(file[at+2:]))
		}
		if !placed && m != markerAPP0 && m != markerAPP1 {
			if out, err = f.appendSegment(out); err != nil {
				return nil, err
			}
			placed = true
		}
		if m != marker || !bytes.HasPrefix(file[at+4:end], []byte(identifier)) {
			out = append(out, file[at:end]...)
		}
		at = end
	}
	if !placed { // no table, no frame header
		return nil, jpegfile.ErrNotJPEG
	}
	return append(out, file[header.Scan:]...), nil
}
