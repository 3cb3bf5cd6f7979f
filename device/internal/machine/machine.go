package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"edgeclassify/device/internal/guest"
)

// Emulator is the program that runs the machines.
const Emulator = "qemu-system-aarch64"

// Board is what a machine is.
type Board struct {
	Machine, CPU string // in QEMU's words
	DeviceTree   string // by name; empty is QEMU's own
	Console      string // the serial line, in Linux's words
	SecondLine   bool   // the console is the second serial line of the board
	Cores        int
	Memory       int    // in MiB
	Disk         string // a file with what is on it; empty is none

	// System is what runs, with the agent as a service; nil is nothing but the
	// agent.
	System *System
	Ports  []int // of TCP, which can be reached by Machine.Address
}

// Virt is QEMU's own board with a CPU of that kind. It has two cores, for a host
// that may have no more: each of them takes one of the host's.
func Virt(cpu string) Board {
	return Board{Machine: "virt", CPU: cpu, Console: "ttyAMA0", Cores: 2, Memory: 1024}
}

// Debian is Virt with a system, whose ssh and live page can be reached.
func Debian(cpu string, s *System) Board {
	b := Virt(cpu)
	b.System, b.Ports = s, []int{SSH, Page}
	return b
}

// Ports of a Debian board.
const (
	SSH  = 22
	Page = 8080
)

// Zero2W is a Raspberry Pi Zero 2 W: the Raspberry Pi 3 that QEMU has, which is
// the same chip, with the Zero's device tree.
func Zero2W() Board {
	return Board{Machine: "raspi3b", CPU: "cortex-a53", DeviceTree: "bcm2837-rpi-zero-2-w", Console: "ttyS1", SecondLine: true, Cores: 4, Memory: 1024}
}

// Machine is a running virtual machine.
type Machine struct {
	cmd    *exec.Cmd
	client *rpc.Client
	qmp    string      // path of the socket by which QEMU is controlled
	ports  map[int]int // of this host, by those of the machine
	log    log
	exited chan struct{}
}

// log is what has come over the console beside the agent's messages.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Boot starts a machine with these files, of which /init is the agent, and
// waits for the agent. dir is for what the machine needs while it runs; its
// path must be short enough for a socket.
func Boot(ctx context.Context, k *Kernel, b Board, files Files, dir string) (*Machine, error) {
	m := &Machine{qmp: filepath.Join(dir, "qmp"), ports: map[int]int{}, exited: make(chan struct{})}
	args, err := m.arguments(k, b, files, dir)
	if err != nil {
		return nil, err
	}
	m.cmd = exec.Command(Emulator, args...)
	m.cmd.Stderr = &m.log
	in, err := m.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	answers, messages := io.Pipe()
	ready := make(chan struct{})
	go m.read(out, messages, ready)
	select {
	case <-ready:
		m.client = jsonrpc.NewClient(console{answers, in})
		return m, nil
	case <-m.exited:
		err = fmt.Errorf("%s ended", m.cmd)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	m.Close()
	return nil, fmt.Errorf("machine: the agent did not start: %w\n%s", err, m.Log())
}

// arguments are QEMU's. They name the file system, which is written to dir.
func (m *Machine) arguments(k *Kernel, b Board, files Files, dir string) ([]string, error) {
	image, err := k.Image()
	if err != nil {
		return nil, err
	}
	archive, err := files.archive()
	if err != nil {
		return nil, err
	}
	initial := filepath.Join(dir, "initial.cpio")
	start := ""
	if b.System != nil { // the kernel unpacks one archive after the other
		system, err := os.ReadFile(b.System.path)
		if err != nil {
			return nil, fmt.Errorf("machine: %w", err)
		}
		archive = append(system, archive...)
		start = " rdinit=/usr/lib/systemd/systemd systemd.unit=multi-user.target systemd.show_status=0 " +
			"systemd.wants=systemd-networkd.service systemd.wants=ssh.service systemd.wants=agent.service"
	}
	if err := os.WriteFile(initial, archive, 0o644); err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	args := []string{
		"-M", b.Machine, "-cpu", b.CPU, "-smp", fmt.Sprint(b.Cores), "-m", fmt.Sprint(b.Memory), "-accel", "tcg",
		"-nodefaults", "-display", "none", "-no-reboot", "-qmp", "unix:" + m.qmp + ",server=on,wait=off",
		"-kernel", image, "-initrd", initial,
		// The kernel is silent: the line is the agent's. A panic shows all the same.
		"-append", "console=" + b.Console + " loglevel=0 panic=-1" + start,
	}
	if len(b.Ports) > 0 {
		network, err := m.network(b.Ports)
		if err != nil {
			return nil, err
		}
		args = append(args, "-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=")
	}
	if b.Disk != "" {
		// The host's disk is not synced when the machine syncs its own, which may take
		// long: what was written outlives QEMU all the same.
		args = append(args, "-drive", "if=none,id=disk,format=raw,cache=unsafe,file="+b.Disk, "-device", "virtio-blk-pci,drive=disk")
	}
	if b.DeviceTree != "" {
		tree, err := k.DeviceTree(b.DeviceTree)
		if err != nil {
			return nil, err
		}
		args = append(args, "-dtb", tree)
	}
	if b.SecondLine {
		args = append(args, "-serial", "null")
	}
	return append(args, "-serial", "stdio"), nil
}

// network is a network of the machine alone, where connections to ports of this
// host go to the machine's.
func (m *Machine) network(ports []int) (string, error) {
	network := "user,id=net,restrict=on"
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", fmt.Errorf("machine: %w", err)
		}
		m.ports[port] = l.Addr().(*net.TCPAddr).Port
		defer l.Close() // all are open until all are different
		network += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", m.ports[port], port)
	}
	return network, nil
}

// Address is where a port of the machine can be reached: on this host.
func (m *Machine) Address(port int) string { return fmt.Sprintf("127.0.0.1:%d", m.ports[port]) }

// console joins the two directions of the serial line.
type console struct {
	io.ReadCloser
	io.Writer
}

// read passes the agent's messages on, each one line of JSON, and logs all
// else that comes over the serial line until QEMU ends.
func (m *Machine) read(out io.Reader, messages *io.PipeWriter, ready chan<- struct{}) {
	defer close(m.exited)
	defer m.cmd.Wait() // it was killed
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		switch {
		case err != nil:
			messages.CloseWithError(err)
			fmt.Fprint(&m.log, line)
			return
		case strings.HasPrefix(line, "{"):
			io.WriteString(messages, line) // fails once the client is closed
		case ready != nil && strings.HasSuffix(strings.TrimSpace(line), guest.Ready):
			close(ready)
			ready = nil
		default:
			fmt.Fprint(&m.log, line)
		}
	}
}

// Log is what came over the console beside the agent's messages.
func (m *Machine) Log() string { return m.log.String() }

// Call calls a method of the agent.
func (m *Machine) Call(ctx context.Context, method string, argument, reply any) error {
	call := m.client.Go(guest.Service+"."+method, argument, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error != nil {
			return fmt.Errorf("machine: %s: %w", method, call.Error)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("machine: %s: no answer: %w", method, context.Cause(ctx))
	}
}

// PressPower presses the machine's power button, which on Virt is line 3 of its
// GPIO chip going up for a moment.
func (m *Machine) PressPower() error {
	conn, err := net.Dial("unix", m.qmp)
	if err != nil {
		return fmt.Errorf("machine: %w", err)
	}
	defer conn.Close()
	// QEMU Machine Protocol: a greeting, then an answer to each command, and
	// events between.
	if _, err := io.WriteString(conn, `{"execute":"qmp_capabilities"}{"execute":"system_powerdown"}`); err != nil {
		return fmt.Errorf("machine: %w", err)
	}
	answers := json.NewDecoder(conn)
	for returned := 0; returned < 2; {
		var answer struct{ Return, Error json.RawMessage }
		if err := answers.Decode(&answer); err != nil {
			return fmt.Errorf("machine: QEMU: %w", err)
		}
		if answer.Error != nil {
			return fmt.Errorf("machine: QEMU: %s", answer.Error)
		}
		if answer.Return != nil {
			returned++
		}
	}
	return nil
}

// Close ends the machine at once.
func (m *Machine) Close() {
	m.cmd.Process.Kill() // fails if QEMU has ended
	<-m.exited
	if m.client != nil {
		m.client.Close()
	}
}
