// Package guest is what tests and the agent inside the virtual machine say to
// each other: net/rpc with JSON over the serial console, one message a line.
package guest

import (
	"time"
)

// Service is the name under which the agent's methods are registered.
const Service = "Agent"

// Module is a kernel module to load.
type Module struct{ Path, Parameters string }

// File is what to write to a file.
type File struct{ Path, Contents string }

// Copy is a file to write over another one.
type Copy struct{ From, To string }

// Command is a program to start.
type Command struct{ Args []string }

// Tail asks for what a process has printed from line First on. The answer
// waits up to Wait for there to be something, or for the end.
type Tail struct {
	Process, First int
	Wait           time.Duration
}

// Line is one line that a process printed, on standard output or error.
type Line struct {
	Time  time.Time
	Error bool
	Text  string
}

// Printed answers a Tail.
type Printed struct {
	Lines  []Line
	Exited bool
	Code   int // exit code, -1 if a signal ended the process
}

// Signal is a signal to send.
type Signal struct{ Process, Number int }

// Usage is what a process holds.
type Usage struct{ KiB, Files, Threads int }

// Setting is a control of a V4L2 device, by its name, and a value.
type Setting struct {
	Device, Name string
	Value        int32
}

// Webcam is a USB camera to plug in, which shows the bytes of the file Frame.
type Webcam struct {
	Format        string // MJPG, YUY2, NV12 or I420
	Width, Height int
	FPS           int
	Frame         string
}

// Mount is a disk to mount on a folder, with the file system ext4.
type Mount struct{ Device, Folder string }

// Request is one to a web server inside the machine.
type Request struct{ Method, URL, Body string }

// Answer is its.
type Answer struct {
	Status int
	Body   string
}

// None is no argument, or no answer.
type None struct{}

// Ready is the line that the agent prints when it listens.
const Ready = "agent ready"
