//go:build linux

// Package usb plugs USB devices that are programs into the running Linux: a
// webcam and an I2C bus. The kernel's own drivers then work as with real ones.
//
// It speaks USB/IP (Documentation/usb/usbip_protocol.rst in Linux) with the
// kernel's virtual host controller, the module vhci-hcd, over a socket pair.
package usb

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Speed of a device, as the kernel numbers them.
type Speed int

// Speeds.
const (
	Full Speed = 2
	High Speed = 3
)

// Setup is the request that begins a control transfer (USB 2.0, section 9.3).
type Setup struct {
	Type, Request        uint8
	Value, Index, Length uint16
}

// Descriptors are what a device says of itself (USB 2.0, section 9.6).
type Descriptors struct{ Device, Configuration []byte }

// Device is what is plugged in.
type Device interface {
	Speed() Speed
	Descriptors() Descriptors
	// Control answers a class or vendor request; data is what came with it.
	// An error stalls the endpoint.
	Control(s Setup, data []byte) ([]byte, error)
	// Bulk returns up to n bytes for the bulk endpoint, and may wait for them.
	Bulk(n int) []byte
}

const attachFile = "/sys/devices/platform/vhci_hcd.0/attach"

// Attach plugs a device into a port of the virtual host controller. Close
// unplugs it.
func Attach(port int, d Device) (io.Closer, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("usb: socket pair: %w", err)
	}
	ours := os.NewFile(uintptr(pair[0]), "usbip")
	defer unix.Close(pair[1])
	const id = 1<<16 | 2 // bus and device number at the far end
	if err := os.WriteFile(attachFile, fmt.Appendf(nil, "%d %d %d %d", port, pair[1], id, d.Speed()), 0); err != nil {
		ours.Close()
		return nil, fmt.Errorf("usb: attach to port %d: %w", port, err)
	}
	l := &link{file: ours, device: d, pending: map[uint32]bool{}, bulk: make(chan submit, 64)}
	go l.serveBulk()
	go l.serve()
	return l, nil
}

// Commands of USB/IP and the size of each one's header.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4

	headerBytes = 48
)

// submit is a transfer that the kernel asks for.
type submit struct {
	Command, Sequence, Device, In, Endpoint uint32
	Flags                                   uint32
	Length                                  int32
	_                                       [3]uint32
	Setup                                   [8]byte
}

// reply answers a submit or an unlink.
type reply struct {
	Command, Sequence uint32
	_                 [3]uint32
	Status            int32
	Length            int32
	_                 uint32
	Packets           int32 // -1: not isochronous
	_                 [3]uint32
}

// link is a plugged-in device.
type link struct {
	file   *os.File
	device Device
	bulk   chan submit

	writing sync.Mutex
	mu      sync.Mutex
	pending map[uint32]bool // bulk transfers that wait for an answer
}

// Close breaks the connection, as pulling the plug does.
func (l *link) Close() error { return l.file.Close() }

// serve answers the kernel until Close, or until the kernel lets go.
func (l *link) serve() {
	defer close(l.bulk)
	for {
		var s submit
		if err := binary.Read(l.file, binary.BigEndian, &s); err != nil {
			return
		}
		switch s.Command {
		case cmdSubmit:
			if !l.submit(s) {
				return
			}
		case cmdUnlink:
			l.unlink(s)
		default:
			return
		}
	}
}

func (l *link) submit(s submit) bool {
	var data []byte
	if s.In == 0 && s.Length > 0 {
		data = make([]byte, s.Length)
		if _, err := io.ReadFull(l.file, data); err != nil {
			return false
		}
	}
	if s.Endpoint == 0 {
		l.control(s, data)
		return true
	}
	l.mu.Lock()
	l.pending[s.Sequence] = true
	l.mu.Unlock()
	l.bulk <- s
	return true
}

// unlink cancels a transfer, unless it has been answered.
func (l *link) unlink(s submit) {
	victim := s.Flags // the field that follows the common header
	r := reply{Command: retUnlink, Sequence: s.Sequence}
	if l.taken(victim) {
		r.Status = -int32(unix.ECONNRESET)
	}
	l.write(r, nil)
}

// taken tells whether the transfer still waited, and makes it wait no more.
func (l *link) taken(sequence uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	waited := l.pending[sequence]
	delete(l.pending, sequence)
	return waited
}

func (l *link) serveBulk() {
	for s := range l.bulk {
		data := l.device.Bulk(int(s.Length))
		if l.taken(s.Sequence) {
			l.write(reply{Command: retSubmit, Sequence: s.Sequence, Length: int32(len(data)), Packets: -1}, data)
		}
	}
}

func (l *link) control(s submit, data []byte) {
	setup := Setup{s.Setup[0], s.Setup[1], le.Uint16(s.Setup[2:]), le.Uint16(s.Setup[4:]), le.Uint16(s.Setup[6:])}
	answer, err := l.request(setup, data)
	r := reply{Command: retSubmit, Sequence: s.Sequence, Length: s.Length, Packets: -1}
	if err != nil {
		r.Status, answer = -int32(unix.EPIPE), nil
	}
	if s.In != 0 {
		answer = answer[:min(len(answer), int(s.Length))]
		r.Length = int32(len(answer))
	} else {
		answer = nil
	}
	l.write(r, answer)
}

// Standard requests (USB 2.0, table 9-4) and types of descriptors (table 9-5).
const (
	getStatus        = 0
	getDescriptor    = 6
	getConfiguration = 8
	getInterface     = 10

	deviceDescriptor        = 1
	configurationDescriptor = 2
	stringDescriptor        = 3
)

func (l *link) request(s Setup, data []byte) ([]byte, error) {
	if s.Type&0x60 != 0 {
		return l.device.Control(s, data)
	}
	switch s.Request {
	case getStatus:
		return []byte{1, 0}, nil // self-powered
	case getConfiguration:
		return []byte{1}, nil
	case getInterface:
		return []byte{0}, nil
	case getDescriptor:
		return l.descriptor(s.Value>>8, s.Value&255)
	}
	return nil, nil // to set what has one choice only
}

func (l *link) descriptor(kind, index uint16) ([]byte, error) {
	d := l.device.Descriptors()
	switch {
	case kind == deviceDescriptor:
		return d.Device, nil
	case kind == configurationDescriptor:
		return d.Configuration, nil
	case kind == stringDescriptor && index == 0:
		return []byte{4, stringDescriptor, 9, 4}, nil // English
	case kind == stringDescriptor:
		const name = "Test Device"
		b := []byte{2 + 2*byte(len(name)), stringDescriptor}
		for _, c := range []byte(name) {
			b = append(b, c, 0)
		}
		return b, nil
	}
	return nil, fmt.Errorf("usb: no descriptor of kind %d", kind)
}

// write sends a reply. Where the connection is broken serve finds out.
func (l *link) write(r reply, data []byte) {
	b := make([]byte, 0, headerBytes+len(data))
	b, _ = binary.Append(b, binary.BigEndian, r) // of a struct of fixed size cannot fail
	l.writing.Lock()
	defer l.writing.Unlock()
	l.file.Write(append(b, data...))
}

var le = binary.LittleEndian
