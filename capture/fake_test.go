package capture

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"edgeclassify/internal/v4l2"
)

// fakeSystem has cameras that are plugged in and out.
type fakeSystem struct {
	mu      sync.Mutex
	plugged map[string]*fakeCamera
	opens   int // devices that are open
}

func newFakeSystem(cameras map[string]*fakeCamera) *fakeSystem {
	return &fakeSystem{plugged: cameras}
}

func (s *fakeSystem) nodes() []v4l2.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []v4l2.Node
	for path, c := range s.plugged {
		list = append(list, v4l2.Node{Path: path, Name: c.card})
	}
	slices.SortFunc(list, func(a, b v4l2.Node) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func (s *fakeSystem) open(path string) (device, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.plugged[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT}
	}
	if c.openErr != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: c.openErr}
	}
	s.opens++
	return &fakeDevice{fakeCamera: c, closed: make(chan struct{}), onClose: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.opens--
	}}, nil
}

func (s *fakeSystem) holders(path string) []string { return []string{"motion (process 123)"} }
func (s *fakeSystem) group(string) string          { return "video" }

// plug puts a camera at path, or takes away what is there.
func (s *fakeSystem) plug(path string, c *fakeCamera) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.plugged[path]; old != nil && old != c {
		old.unplug()
	}
	delete(s.plugged, path)
	if c != nil {
		s.plugged[path] = c
	}
}

func (s *fakeSystem) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opens
}

// fakeCamera is a camera with its driver. Frames are what shoot makes.
type fakeCamera struct {
	card, bus string
	caps      uint32
	formats   []v4l2.FourCC
	sizes     []v4l2.Size
	openErr   error
	adjust    func(*v4l2.PixFormat) // what the driver makes of a format
	rates     map[v4l2.FourCC]v4l2.Fraction
	buffers   int              // at most; 0 is no limit
	errs      map[string]error // by the name of a call

	mu       sync.Mutex
	gone     bool
	format   v4l2.PixFormat
	queued   []int
	filled   []v4l2.Buffer
	maps     [][]byte
	mapped   int // buffers, ever
	unmapped int
	streams  int
	device   *fakeDevice
	sequence uint32
}

func newFakeCamera() *fakeCamera {
	return &fakeCamera{
		card: "HD Webcam", bus: "usb-0000:01:00.0-1.2", caps: 0x04200001,
		formats: []v4l2.FourCC{v4l2.MJPG, v4l2.YUYV},
		errs:    map[string]error{},
		rates:   map[v4l2.FourCC]v4l2.Fraction{},
	}
}

func (c *fakeCamera) unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.wake()
}

// fail makes a call fail from now on; nil mends it.
func (c *fakeCamera) fail(call string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs[call] = err
	c.wake()
}

// shoot fills a queued buffer, or drops the frame if there is none.
func (c *fakeCamera) shoot(change ...func(*v4l2.Buffer, []byte)) (filled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sequence := c.sequence
	c.sequence++
	if len(c.queued) == 0 || c.device == nil {
		return false
	}
	b := v4l2.Buffer{Index: c.queued[0], Used: int(c.format.SizeImage), Sequence: sequence, Time: time.Now()}
	c.queued = c.queued[1:]
	c.maps[b.Index][0] = byte(sequence)
	for _, f := range change {
		f(&b, c.maps[b.Index])
	}
	c.filled = append(c.filled, b)
	c.wake()
	return true
}

// wake ends the device's Wait. The caller holds the lock.
func (c *fakeCamera) wake() {
	if c.device != nil {
		select {
		case c.device.event <- struct{}{}:
		default:
		}
	}
}

// fakeDevice is a fakeCamera that has been opened.
type fakeDevice struct {
	*fakeCamera
	event       chan struct{}
	interrupted bool
	closed      chan struct{}
	once        sync.Once
	onClose     func()
}

// lock locks the camera and returns why a call fails; the caller unlocks.
func (d *fakeDevice) lock(call string) error {
	d.mu.Lock()
	select {
	case <-d.closed:
		return syscall.EBADF
	default:
	}
	if d.gone {
		return fmt.Errorf("%s: %w", call, syscall.ENODEV)
	}
	if err := d.errs[call]; err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	return nil
}

func (d *fakeDevice) Capability() (v4l2.Capability, error) {
	defer d.mu.Unlock()
	return v4l2.Capability{Driver: "fake", Card: d.card, Bus: d.bus, Caps: d.caps}, d.lock("Capability")
}

func (d *fakeDevice) Formats() ([]v4l2.FourCC, error) {
	defer d.mu.Unlock()
	return d.formats, d.lock("Formats")
}

func (d *fakeDevice) Sizes(v4l2.FourCC) ([]v4l2.Size, error) {
	defer d.mu.Unlock()
	return d.sizes, d.lock("Sizes")
}

func (d *fakeDevice) Intervals(f v4l2.FourCC, _, _ uint32) ([]v4l2.Fraction, error) {
	defer d.mu.Unlock()
	return []v4l2.Fraction{{Numerator: 1, Denominator: 15}, {Numerator: 1, Denominator: 30}}, d.lock("Intervals")
}

func (d *fakeDevice) SetFormat(width, height uint32, f v4l2.FourCC) (v4l2.PixFormat, error) {
	defer d.mu.Unlock()
	if err := d.lock("SetFormat"); err != nil {
		return v4l2.PixFormat{}, err
	}
	line := map[v4l2.FourCC]uint32{v4l2.YUYV: 2 * width, v4l2.NV12: width, v4l2.YU12: width}[f]
	d.format = v4l2.PixFormat{Width: width, Height: height, FourCC: f, BytesPerLine: line, SizeImage: 2 * width * height}
	if d.adjust != nil {
		d.adjust(&d.format)
	}
	return d.format, nil
}

func (d *fakeDevice) SetInterval(v v4l2.Fraction) (v4l2.Fraction, error) {
	defer d.mu.Unlock()
	if rate, ok := d.rates[d.format.FourCC]; ok {
		v = rate
	}
	return v, d.lock("SetInterval")
}

func (d *fakeDevice) Map(count int) ([][]byte, error) {
	defer d.mu.Unlock()
	if err := d.lock("Map"); err != nil {
		return nil, err
	}
	if d.buffers > 0 {
		count = min(count, d.buffers)
	}
	d.maps, d.queued, d.filled = nil, nil, nil
	for range count {
		d.maps = append(d.maps, make([]byte, d.format.SizeImage))
		d.mapped++
	}
	return d.maps, nil
}

// Unmap overwrites the buffer: whoever reads it still will notice.
func (d *fakeDevice) Unmap(m []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range m {
		m[i] = 0xdd
	}
	d.unmapped++
}

func (d *fakeDevice) Queue(index int) error {
	defer d.mu.Unlock()
	if err := d.lock("Queue"); err != nil {
		return err
	}
	if slices.Contains(d.queued, index) {
		return syscall.EINVAL
	}
	d.queued = append(d.queued, index)
	return nil
}

func (d *fakeDevice) Start() error {
	defer d.mu.Unlock()
	if err := d.lock("Start"); err != nil {
		return err
	}
	d.event = make(chan struct{}, 1)
	d.device, d.sequence = d, 0
	d.streams++
	return nil
}

func (d *fakeDevice) Wait(timeout time.Duration) error {
	deadline := time.After(timeout)
	for {
		err := d.lock("Wait")
		ready, interrupted := len(d.filled) > 0, d.interrupted
		d.mu.Unlock()
		switch {
		case interrupted:
			return v4l2.ErrInterrupted
		case err != nil:
			return v4l2.ErrStopped
		case ready:
			return nil
		}
		select {
		case <-deadline:
			return v4l2.ErrTimeout
		case <-d.event:
		}
	}
}

func (d *fakeDevice) Interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = true
	d.wake()
}

func (d *fakeDevice) Dequeue() (v4l2.Buffer, error) {
	defer d.mu.Unlock()
	if err := d.lock("Dequeue"); err != nil {
		return v4l2.Buffer{}, err
	}
	if len(d.filled) == 0 {
		return v4l2.Buffer{}, v4l2.ErrNotReady
	}
	b := d.filled[0]
	d.filled = d.filled[1:]
	return b, nil
}

func (d *fakeDevice) Close() error {
	d.once.Do(func() {
		d.mu.Lock()
		close(d.closed)
		if d.device == d {
			d.device = nil
		}
		d.mu.Unlock()
		d.onClose()
	})
	return nil
}
