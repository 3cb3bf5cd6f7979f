//go:build linux

// Command agent is the first process of the virtual machine, or a service there: it does what the
// tests on the other side of the serial console ask for.
package main

import (
	"fmt"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"

	"golang.org/x/sys/unix"

	"edgeclassify/device/internal/guest"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("agent:", err)
	}
	if first() { // the kernel panics if its first process ends
		unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

// first tells whether this is the first process, and not a service of systemd.
func first() bool { return os.Getpid() == 1 }

func run() error {
	if first() {
		if err := mount(); err != nil {
			return err
		}
		if err := loopback(); err != nil {
			return fmt.Errorf("loopback: %w", err)
		}
	}
	if err := raw(int(os.Stdin.Fd())); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	server := rpc.NewServer()
	if err := server.RegisterName(guest.Service, &agent{}); err != nil {
		return err
	}
	fmt.Println(guest.Ready)
	server.ServeCodec(jsonrpc.NewServerCodec(console{}))
	return nil
}

func mount() error {
	for path, kind := range map[string]string{"/dev": "devtmpfs", "/proc": "proc", "/sys": "sysfs", "/tmp": "tmpfs"} {
		if err := unix.Mount(kind, path, kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", path, err)
		}
	}
	if err := unix.Mount("debugfs", "/sys/kernel/debug", "debugfs", 0, ""); err != nil {
		return fmt.Errorf("mount debugfs: %w", err)
	}
	return nil
}

// loopback brings up the network that the machine has with itself.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// console is the serial line, where the kernel has opened it for its first
// process.
type console struct{}

func (console) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (console) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (console) Close() error                { return nil }

// raw makes the terminal pass bytes as they are: no echo, no signals, no
// other line ends.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
