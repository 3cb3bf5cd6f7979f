//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/usb"
)

// agent has the methods that tests call. Those that change something answer
// with the time when it was done, by the machine's clock.
type agent struct {
	mu        sync.Mutex
	processes []*process

	camera *usb.Camera
	bus    *usb.Bus
	plug   io.Closer // of the camera
}

// Ports of the virtual USB host controller.
const (
	cameraPort = 0
	busPort    = 1
)

// displayAddress is where SSD1306 displays are by default.
const displayAddress = 0x3c

// Load loads a kernel module.
func (a *agent) Load(m guest.Module, _ *guest.None) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), m.Parameters, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", m.Path, err)
	}
	return nil
}

// Now answers with the time by the machine's clock.
func (a *agent) Now(_ guest.None, now *time.Time) error {
	*now = time.Now()
	return nil
}

// Read answers with a file's contents.
func (a *agent) Read(path string, contents *[]byte) (err error) {
	*contents, err = os.ReadFile(path)
	return err
}

// Write writes to a file of the kernel's.
func (a *agent) Write(f guest.File, done *time.Time) error {
	err := os.WriteFile(f.Path, []byte(f.Contents), 0)
	*done = time.Now()
	return err
}

// Copy writes one file over another one, in place as cp does.
func (a *agent) Copy(c guest.Copy, done *time.Time) error {
	contents, err := os.ReadFile(c.From)
	if err == nil {
		err = os.WriteFile(c.To, contents, 0o644)
	}
	*done = time.Now()
	return err
}

// Mount mounts a disk.
func (a *agent) Mount(m guest.Mount, done *time.Time) error {
	err := await(m.Device, true)
	if err == nil {
		err = os.MkdirAll(m.Folder, 0o755)
	}
	if err == nil {
		err = unix.Mount(m.Device, m.Folder, "ext4", 0, "")
	}
	*done = time.Now()
	return err
}

// Ask asks a web server, as its own page does.
func (a *agent) Ask(r guest.Request, answer *guest.Answer) error {
	request, err := http.NewRequest(r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	*answer = guest.Answer{Status: response.StatusCode, Body: string(body)}
	return err
}

// KernelLog answers with the kernel's messages.
func (a *agent) KernelLog(_ guest.None, text *string) error {
	b := make([]byte, 1<<18)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, b)
	*text = string(b[:max(n, 0)])
	return err
}

// Plug plugs the camera in and waits for the kernel to have made its device.
func (a *agent) Plug(w guest.Webcam, done *time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.plug != nil {
		return errors.New("the camera is plugged in already")
	}
	frame, err := os.ReadFile(w.Frame)
	if err != nil {
		return err
	}
	a.camera = usb.NewCamera(usb.Mode{Format: w.Format, Width: w.Width, Height: w.Height, FPS: w.FPS}, frame)
	if a.plug, err = usb.Attach(cameraPort, a.camera); err != nil {
		return err
	}
	err = await(videoDevices, true)
	*done = time.Now()
	return err
}

// Show makes the camera show the bytes of a file.
func (a *agent) Show(path string, done *time.Time) error {
	frame, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.plug == nil {
		return errors.New("no camera is plugged in")
	}
	a.camera.Show(frame)
	*done = time.Now()
	return nil
}

// Unplug pulls the camera's plug, and waits for its device to go.
func (a *agent) Unplug(_ guest.None, done *time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.plug == nil {
		return errors.New("no camera is plugged in")
	}
	err := a.plug.Close()
	a.plug = nil
	*done = time.Now()
	return errors.Join(err, await(videoDevices, false))
}

// PlugBus plugs in an I2C bus with a display on it.
func (a *agent) PlugBus(_ guest.None, done *time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bus = usb.NewBus(displayAddress)
	if _, err := usb.Attach(busPort, a.bus); err != nil {
		return err
	}
	err := await("/dev/i2c-0", true)
	*done = time.Now()
	return err
}

// videoDevices are the webcam's. Their numbers are new ones while a program
// holds the old ones open.
const videoDevices = "/dev/video*"

// await waits for files to be there, or to be gone. The kernel may take its
// time: it asks a USB device a dozen questions first.
func await(pattern string, there bool) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		found, err := filepath.Glob(pattern)
		if err != nil || (len(found) > 0) == there {
			return err
		}
	}
	return fmt.Errorf("%s: plugged in is %t, but the kernel does not agree", pattern, there)
}

// Written answers with the messages that the display has got.
func (a *agent) Written(_ guest.None, messages *[][]byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bus == nil {
		return errors.New("no bus is plugged in")
	}
	*messages = a.bus.Written()
	return nil
}
