package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"

	"edgeclassify/internal/jpegfile"
)

// damagedError is about one frame; the next may be good.
type damagedError struct{ error }

func (e *damagedError) Unwrap() error { return e.error }

func isDamage(err error) bool {
	var damaged *damagedError
	return errors.As(err, &damaged)
}

var errCutOff = &damagedError{errors.New("the frame breaks off")}

// readJPEG reads the next JPEG file of a stream, appends it to file and returns
// that. What lies before it is passed over, such as headers of a multipart
// stream, whose lengths and boundaries many cameras get wrong. A file ends with
// its end marker, or where the next one begins.
func readJPEG(r *bufio.Reader, file []byte) ([]byte, error) {
	if err := skipTo(r, jpegfile.MarkerSOI); err != nil {
		return file, err
	}
	file = append(file, 0xff, jpegfile.MarkerSOI)
	begin := len(file)
	scan := false // has begun
	for {
		next, err := r.Peek(2)
		if err != nil {
			return file, err
		}
		switch marker := next[1]; {
		case next[0] != 0xff:
			return file, errCutOff
		case marker == 0xff: // fill byte
			_, err = r.Discard(1)
		case marker == jpegfile.MarkerSOI && len(file) == begin: // twice
			_, err = r.Discard(2)
		case marker == jpegfile.MarkerSOI && !scan:
			return file, errCutOff
		case marker == jpegfile.MarkerSOI:
			return file, nil
		case marker == jpegfile.MarkerEOI:
			file, err = take(r, file, 2)
			return file, err
		case jpegfile.Bare(marker):
			file, err = take(r, file, 2)
		default:
			scan = scan || marker == jpegfile.MarkerSOS
			if file, err = takeSegment(r, file); err == nil && marker == jpegfile.MarkerSOS {
				file, err = takeScan(r, file)
			}
		}
		if err != nil {
			return file, err
		}
	}
}

// skipTo passes over what is before a marker, and the marker.
func skipTo(r *bufio.Reader, marker byte) error {
	for {
		_, err := r.ReadSlice(0xff)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		for err == nil {
			var c byte
			if c, err = r.ReadByte(); err != nil {
				return err
			}
			if c == marker {
				return nil
			}
			if c != 0xff {
				break
			}
		}
	}
}

// take appends the next n bytes to file.
func take(r *bufio.Reader, file []byte, n int) ([]byte, error) {
	if len(file)+n > maxFile {
		return file, &damagedError{fmt.Errorf("a frame of more than %d MiB", maxFile>>20)}
	}
	for n > 0 {
		part, err := r.Peek(min(n, r.Size()))
		file = append(file, part...)
		n -= len(part)
		if _, err := r.Discard(len(part)); err != nil {
			return file, err
		}
		if err != nil {
			return file, err
		}
	}
	return file, nil
}

// takeSegment appends a marker and what its length says.
func takeSegment(r *bufio.Reader, file []byte) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return file, err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if n < 2 {
		return file, errCutOff
	}
	return take(r, file, 2+n)
}

// takeScan appends compressed data, up to the next marker that is not one of
// theirs.
func takeScan(r *bufio.Reader, file []byte) ([]byte, error) {
	for {
		part, err := r.ReadSlice(0xff)
		if len(file)+len(part)+1 > maxFile {
			return file, &damagedError{fmt.Errorf("a frame of more than %d MiB", maxFile>>20)}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			file = append(file, part...)
			continue
		case err != nil:
			return file, err
		}
		file = append(file, part[:len(part)-1]...)
		if err := r.UnreadByte(); err != nil {
			return file, err
		}
		next, err := r.Peek(2)
		switch {
		case err != nil:
			return file, err
		case next[1] == 0xff: // fill byte
			_, err = r.Discard(1)
		case next[1] == 0 || next[1] < jpegfile.MarkerSOI && jpegfile.Bare(next[1]):
			file, err = take(r, file, 2)
		default:
			return file, nil
		}
		if err != nil {
			return file, err
		}
	}
}
