package preprocess

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/jpegfile"
)

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// tiffHeader returns a TIFF structure with one other tag before orientation.
func tiffHeader(order byteOrder, value uint16) []byte {
	b := []byte("II")
	if order.String() == binary.BigEndian.String() {
		b = []byte("MM")
	}
	b = order.AppendUint16(b, 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, entry := range [][2]uint16{{0x010f, 0}, {0x0112, value}} {
		b = order.AppendUint16(b, entry[0])
		b = order.AppendUint16(b, 3) // SHORT
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, entry[1])
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

func exifSegment(order byteOrder, value uint16) []byte {
	payload := append([]byte("Exif\x00\x00"), tiffHeader(order, value)...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(2+len(payload)))
	return append(segment, payload...)
}

// withExif inserts segment behind the start marker of a JPEG file.
func withExif(file, segment []byte) []byte {
	return bytes.Join([][]byte{file[:2], segment, file[2:]}, nil)
}

// jpegOrientation is the orientation that Decode finds in a JPEG file.
func jpegOrientation(file []byte) Orientation {
	header, _ := jpegfile.Parse(file) // a scan does not matter here
	return ExifOrientation(header.Exif)
}

func TestJPEGOrientation(t *testing.T) {
	start, app0 := []byte{0xff, 0xd8}, []byte{0xff, 0xe0, 0, 4, 1, 2}
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		for value := range uint16(12) {
			want := Upright
			if value >= 1 && value <= 8 {
				want = Orientation(value)
			}
			segment := exifSegment(order, value)
			require.Equal(t, want, jpegOrientation(withExif(start, segment)))
			behind := bytes.Join([][]byte{start, app0, {0xff}, segment}, nil) // with a fill byte
			require.Equal(t, want, jpegOrientation(behind))
		}
	}
}

func TestJPEGOrientationIgnoresNonsense(t *testing.T) {
	file := withExif([]byte{0xff, 0xd8}, exifSegment(binary.LittleEndian, 6))
	require.Equal(t, Orientation(6), jpegOrientation(file))
	for n := range len(file) {
		require.Equal(t, Upright, jpegOrientation(file[:n]), "first %d bytes", n)
	}
	scan := bytes.Join([][]byte{{0xff, 0xd8, 0xff, 0xda, 0, 2}, file[2:]}, nil)
	require.Equal(t, Upright, jpegOrientation(scan), "Exif behind the start of the scan")

	tiff := tiffHeader(binary.LittleEndian, 6)
	far := bytes.Clone(tiff)
	binary.LittleEndian.PutUint32(far[4:], 1<<32-1)
	require.Equal(t, Upright, ExifOrientation(far), "directory beyond the end")
	long := bytes.Clone(tiff)
	long[8+2+12+2] = 4 // LONG
	require.Equal(t, Upright, ExifOrientation(long), "wrong type")
}

func FuzzJPEGOrientation(f *testing.F) {
	f.Add(withExif([]byte{0xff, 0xd8}, exifSegment(binary.LittleEndian, 6)))
	f.Add(withExif([]byte{0xff, 0xd8}, exifSegment(binary.BigEndian, 3)))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, o := range []Orientation{jpegOrientation(file), ExifOrientation(file)} {
			require.True(t, o >= 1 && o <= 8, "orientation %d", o)
		}
	})
}
