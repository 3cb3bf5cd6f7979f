//go:build linux

package usb

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Camera is a webcam (USB Video Class 1.0) with one format and size, on a bulk
// endpoint. It shows the same frame again and again until Show changes it.
type Camera struct {
	mode    Mode
	control [26]byte // video probe and commit, which always agree

	mu   sync.Mutex
	show []byte // what the next frame will be

	// Of the frame being sent, in the goroutine that serves the endpoint.
	rest   []byte
	parity byte
	next   time.Time
}

// Mode is what a camera offers.
type Mode struct {
	Format        string // MJPG, YUY2, NV12 or I420
	Width, Height int
	FPS           int
}

// maxPayload is the largest transfer of a part of a frame, with its header.
const maxPayload = 16384

// NewCamera returns a camera that shows frame: the bytes as they are sent.
func NewCamera(m Mode, frame []byte) *Camera {
	return &Camera{mode: m, control: m.probe(), show: frame}
}

// Show changes what the camera shows, from the next frame on.
func (c *Camera) Show(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.show = frame
}

// Speed implements Device.
func (c *Camera) Speed() Speed { return High }

// interval is the time of a frame in the standard's unit of 100 ns.
func (m Mode) interval() uint32 { return uint32(10_000_000 / m.FPS) }

// bits is the size of a pixel. JPEG files are smaller than that.
func (m Mode) bits() int {
	if m.Format == "NV12" || m.Format == "I420" {
		return 12
	}
	return 16
}

func (m Mode) frameBytes() uint32 { return uint32(m.bits() * m.Width * m.Height / 8) }

// probe is the negotiated state: section 4.3.1.1 of the standard.
func (m Mode) probe() (p [26]byte) {
	p[0] = 1          // hint: the interval is fixed
	p[2], p[3] = 1, 1 // format and frame
	le.PutUint32(p[4:], m.interval())
	le.PutUint32(p[18:], m.frameBytes())
	le.PutUint32(p[22:], maxPayload)
	return p
}

// Descriptors implements Device: sections 3.6 to 3.9 of the standard.
func (c *Camera) Descriptors() Descriptors {
	control := slices.Concat(
		[]byte{9, 4, 0, 0, 0, 0x0e, 1, 0, 0},                             // interface: video control
		[]byte{13, 0x24, 1, 0, 1, 40, 0, 0, 0x6c, 0xdc, 2, 1, 1},         // header; 40 bytes, 48 MHz
		[]byte{18, 0x24, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0}, // camera terminal
		[]byte{9, 0x24, 3, 2, 1, 1, 0, 1, 0},                             // output terminal
	)
	format := c.mode.format()
	header := []byte{14, 0x24, 1, 1, 0, 0, 0x81, 0, 2, 0, 0, 0, 1, 0}
	le.PutUint16(header[4:], uint16(len(header)+len(format)))
	streaming := slices.Concat(
		[]byte{9, 4, 1, 0, 1, 0x0e, 2, 0, 0}, // interface: video streaming
		header, format,
		[]byte{7, 5, 0x81, 2, 0, 2, 0}, // bulk endpoint, 512 bytes
	)
	association := []byte{8, 0x0b, 0, 2, 0x0e, 3, 0, 0}
	head := []byte{9, 2, 0, 0, 2, 1, 0, 0x80, 50}
	all := slices.Concat(head, association, control, streaming)
	le.PutUint16(all[2:], uint16(len(all)))
	return Descriptors{
		Device:        []byte{18, 1, 0, 2, 0xef, 2, 1, 64, 0x6b, 0x1d, 0x02, 0x01, 0, 1, 1, 2, 0, 1},
		Configuration: all,
	}
}

// format describes the format, its one frame size and its colours.
func (m Mode) format() []byte {
	format, kind := []byte{11, 0x24, 6, 1, 1, 1, 1, 0, 0, 0, 0}, byte(7)
	if m.Format != "MJPG" {
		id := m.Format + "\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
		format, kind = append([]byte{27, 0x24, 4, 1, 1}, id...), 5
		format = append(format, byte(m.bits()), 1, 0, 0, 0, 0)
	}
	frame := []byte{30, 0x24, kind, 1, 0}
	frame = le.AppendUint16(frame, uint16(m.Width))
	frame = le.AppendUint16(frame, uint16(m.Height))
	for _, v := range []uint32{1e6, 1e8, m.frameBytes(), m.interval()} { // bit rates, size, interval
		frame = le.AppendUint32(frame, v)
	}
	frame = append(frame, 1) // one interval
	frame = le.AppendUint32(frame, m.interval())
	colours := []byte{6, 0x24, 0x0d, 1, 1, 4} // BT.709 primaries and transfer, BT.601 matrix
	return slices.Concat(format, frame, colours)
}

// Control implements Device: the requests of probe and commit. There is one
// choice, and so what is set does not matter.
func (c *Camera) Control(s Setup, _ []byte) ([]byte, error) {
	selector, streaming := s.Value>>8, s.Index&255 == 1
	if !streaming || selector != 1 && selector != 2 {
		return nil, fmt.Errorf("usb: camera: no control %d", selector)
	}
	switch s.Request {
	case 0x01: // set
		return nil, nil
	case 0x81, 0x82, 0x83, 0x87: // current, least, most, default
		return c.control[:], nil
	case 0x85: // length
		return []byte{byte(len(c.control)), 0}, nil
	case 0x86: // can be read and set
		return []byte{3}, nil
	}
	return nil, fmt.Errorf("usb: camera: no request %#x", s.Request)
}

// Bulk implements Device: the next part of a frame, with its header (section
// 2.4.3.3). It waits for the frame's time.
func (c *Camera) Bulk(n int) []byte {
	if len(c.rest) == 0 {
		c.begin()
	}
	const header, lastOfFrame, endOfHeader = 2, 2, 0x80
	part := c.rest[:min(len(c.rest), n-header, maxPayload-header)]
	c.rest = c.rest[len(part):]
	flags := c.parity | endOfHeader
	if len(c.rest) == 0 {
		flags |= lastOfFrame
	}
	return append([]byte{header, flags}, part...)
}

func (c *Camera) begin() {
	time.Sleep(time.Until(c.next))
	if now := time.Now(); c.next.Before(now) {
		c.next = now // late: do not catch up
	}
	c.next = c.next.Add(time.Second / time.Duration(c.mode.FPS))
	c.parity ^= 1
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = c.show
}
