package i2c

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"edgeclassify/internal/ioctl"
)

// The structures are those of Linux's include/uapi/linux/i2c.h and i2c-dev.h.
// Pointers make them what they are in C on 32-bit systems as well.
type (
	message struct {
		addr, flags, length uint16
		buf                 *byte
	}
	transaction struct {
		messages *message
		count    uint32
	}
)

// Requests of ioctl, which are plain numbers here.
const (
	requestSlave = 0x703
	requestFuncs = 0x705
	requestRDWR  = 0x707

	funcI2C  = 1 // of requestFuncs: transfers, and not SMBus only
	flagRead = 1 // of a message
)

type charDevice struct{ file *os.File }

func openAdapter(path string) (adapter, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	var funcs uintptr // an unsigned long
	if err = ioctl.Call(f, requestFuncs, unsafe.Pointer(&funcs)); err == nil && funcs&funcI2C == 0 {
		err = errors.New("the adapter does no I²C transfers, only SMBus")
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "open I²C bus", Path: path, Err: err}
	}
	return &charDevice{f}, nil
}

func (d *charDevice) claim(addr uint16) error {
	return ioctl.CallInt(d.file, requestSlave, uintptr(addr))
}

func (d *charDevice) transfer(addr uint16, w, r []byte) error {
	var messages [2]message
	n := 0
	if len(w) > 0 {
		messages[n] = message{addr: addr, length: uint16(len(w)), buf: &w[0]}
		n++
	}
	if len(r) > 0 {
		messages[n] = message{addr: addr, flags: flagRead, length: uint16(len(r)), buf: &r[0]}
		n++
	}
	return ioctl.Call(d.file, requestRDWR, unsafe.Pointer(&transaction{&messages[0], uint32(n)}))
}

// noAnswer tells whether no device acknowledged its address: adapters say so in
// either of two ways.
func noAnswer(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EREMOTEIO)
}

func (d *charDevice) Close() error { return d.file.Close() }
