package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"edgeclassify/internal/v4l2"
)

// device is what capture needs of a *v4l2.Device.
type device interface {
	Capability() (v4l2.Capability, error)
	Formats() ([]v4l2.FourCC, error)
	Sizes(v4l2.FourCC) ([]v4l2.Size, error)
	Intervals(f v4l2.FourCC, width, height uint32) ([]v4l2.Fraction, error)
	SetFormat(width, height uint32, f v4l2.FourCC) (v4l2.PixFormat, error)
	SetInterval(v4l2.Fraction) (v4l2.Fraction, error)
	Map(count int) ([][]byte, error)
	Unmap([]byte)
	Queue(index int) error
	Start() error
	Wait(timeout time.Duration) error
	Interrupt()
	Dequeue() (v4l2.Buffer, error)
	Close() error
}

// system is what capture needs of the operating system.
type system interface {
	nodes() []v4l2.Node
	open(path string) (device, error)
	holders(path string) []string
	group(path string) string
}

// kernel is the system that runs.
type kernel struct{}

func (kernel) nodes() []v4l2.Node               { return v4l2.Nodes() }
func (kernel) open(path string) (device, error) { return v4l2.Open(path) }
func (kernel) holders(path string) []string     { return v4l2.Holders(path) }
func (kernel) group(path string) string         { return v4l2.Group(path) }

// usb opens a V4L2 camera, on USB or, by its path, any.
type usb struct {
	sys  system
	path string // "" for the first on USB that works
	o    Options
	used identity // of the camera that was opened, zero before
}

// identity tells a camera from others when it comes back, perhaps as another
// node.
type identity struct {
	card, bus string
	unique    bool // no other camera had the same card
}

// found is a node that captures.
type found struct {
	path string
	v4l2.Capability
}

// openUSB opens the device that is named by its path or by its number.
func openUSB(path string, o Options) (opener, error) {
	if _, err := strconv.ParseUint(path, 10, 8); err == nil {
		path = "/dev/video" + path
	}
	return newUSB(kernel{}, path, o).open, nil
}

func newUSB(sys system, path string, o Options) *usb {
	if o.FPS == 0 {
		o.FPS = 30
	}
	return &usb{sys: sys, path: path, o: o}
}

// open opens the camera that was used, else the one that the user named, else
// the first that works.
func (u *usb) open(context.Context) (session, Status, error) {
	if u.path != "" && u.used == (identity{}) {
		return u.openNode(u.path)
	}
	nodes, refused := capturing(u.sys)
	var errs []error
	for _, f := range u.candidates(nodes) {
		s, status, err := u.openNode(f.path)
		if err == nil {
			return s, status, nil
		}
		errs = append(errs, err)
	}
	switch {
	case len(errs) > 0:
		return nil, Status{}, errors.Join(errs...)
	case u.used != (identity{}):
		return nil, Status{}, fmt.Errorf("%s (at %s) is unplugged: %w", u.used.card, u.used.bus, fs.ErrNotExist)
	case refused != nil:
		return nil, Status{}, refused
	}
	return nil, Status{}, fmt.Errorf("no USB camera among the system's video devices: "+
		"plug one in, or name a device of another kind: usb:/dev/videoN: %w", fs.ErrNotExist)
}

// candidates lists the nodes to try: the camera that was used, at its place or
// moved to another; only without it, and where the user named none, any other
// on USB.
func (u *usb) candidates(nodes []found) []found {
	var same, moved, others []found
	for _, f := range nodes {
		switch {
		case f.Card == u.used.card && f.Bus == u.used.bus:
			same = append(same, f)
		case f.Card == u.used.card && u.used.unique:
			moved = append(moved, f)
		case u.path == "" && strings.HasPrefix(f.Bus, "usb-"):
			others = append(others, f)
		}
	}
	if known := append(same, moved...); len(known) > 0 {
		return known
	}
	return others
}

// capturing lists the nodes that give pictures. The error, if any, says why
// another one could not be asked.
func capturing(sys system) (list []found, refused error) {
	for _, n := range sys.nodes() {
		c, err := capability(sys, n.Path)
		switch {
		case err != nil && refused == nil:
			refused = explain(sys, n.Path, err)
		case err == nil && c.Captures():
			list = append(list, found{n.Path, c})
		}
	}
	return list, refused
}

func capability(sys system, path string) (v4l2.Capability, error) {
	d, err := sys.open(path)
	if err != nil {
		return v4l2.Capability{}, err
	}
	defer d.Close()
	return d.Capability()
}

// explain says what the user can do about err.
func explain(sys system, path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		group := cmp.Or(sys.group(path), "video")
		return fmt.Errorf("%w: only root and the group %s may use it: sudo usermod -aG %s USER, then log in again", err, group, group)
	case errors.Is(err, syscall.EBUSY):
		holders := strings.Join(sys.holders(path), ", ")
		return fmt.Errorf("%w: in use by %s", err, cmp.Or(holders, "another program (sudo fuser -v "+path+" names it)"))
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: the USB bus is full: take a smaller size or a lower rate, or plug another camera into another port", err)
	}
	return err
}

// openNode opens the node at path and starts the stream.
func (u *usb) openNode(path string) (session, Status, error) {
	d, err := u.sys.open(path)
	if err != nil {
		return nil, Status{}, explain(u.sys, path, err)
	}
	status := Status{Device: path}
	s, err := u.begin(d, &status)
	if err != nil {
		d.Close()
		return nil, Status{}, fmt.Errorf("%s: %w", status.Device, explain(u.sys, path, err))
	}
	return s, status, nil
}

// begin starts the stream of d and notes in status what it agreed to.
func (u *usb) begin(d device, status *Status) (session, error) {
	c, err := d.Capability()
	if err != nil {
		return nil, err
	}
	status.Device += " (" + c.Card + ")"
	if !c.Captures() {
		return nil, errors.New("it gives no pictures: it is a camera's metadata node or no camera")
	}
	agreed, err := negotiate(d, u.o)
	if err != nil {
		return nil, err
	}
	s, err := startStream(d, agreed)
	if err != nil {
		return nil, err
	}
	u.remember(c)
	status.Format, status.FPS = agreed.layout.Format, agreed.interval.Rate()
	status.Width, status.Height = agreed.layout.Width, agreed.layout.Height
	return s, nil
}

// remember notes which camera is used.
func (u *usb) remember(c v4l2.Capability) {
	nodes, _ := capturing(u.sys)
	count := 0
	for _, f := range nodes {
		if f.Card == c.Card {
			count++
		}
	}
	u.used = identity{c.Card, c.Bus, count <= 1}
}
