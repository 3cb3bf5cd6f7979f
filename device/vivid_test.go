package device

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
)

// Of the driver vivid: controls and values of its test picture
// (Documentation/admin-guide/media/vivid.rst in Linux).
const (
	vividDevice = "/dev/video0"
	testPattern = "Test Pattern"
	osdMode     = "OSD Text Mode"
	osdNone     = 2
)

// patterns are the numbers of vivid's plain pictures.
func patterns() map[string]int32 { return map[string]int32{"red": 7, "green": 8, "blue": 9} }

// frameTime is longer than it takes vivid to show what it was told to.
const frameTime = 150 * time.Millisecond

const vividModule = "vivid"

// vivid boots a machine with the virtual camera, which shows red.
func vivid(t *testing.T, board machine.Board) *device {
	t.Helper()
	d := boot(t, setup{
		board: board, modules: []string{vividModule}, files: colourModel(t),
		options: []string{"n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0"},
	})
	d.set(osdMode, osdNone)
	d.set(testPattern, patterns()["red"])
	return d
}

func (d *device) set(control string, value int32) time.Time {
	d.Helper()
	return d.at("Set", guest.Setting{Device: vividDevice, Name: control, Value: value})
}

// TestBoards runs the program on each class of board.
func TestBoards(t *testing.T) {
	for cpu, kernel := range map[string]string{"cortex-a53": "neon_a53", "cortex-a72": "neon", "cortex-a76": "neondot"} {
		t.Run(cpu, func(t *testing.T) {
			d := vivid(t, machine.Virt(cpu))
			out, code := d.start("kernels").output(callTime)
			require.Zero(t, code, out)
			require.Contains(t, out, "* "+kernel+"\n")
			out, code = d.start("doctor", "-model", modelPath, "-camera", "usb:"+vividDevice).output(callTime)
			t.Logf("doctor:\n%s", out)
			require.Zero(t, code, out)
			p := d.watch("usb:" + vividDevice)
			for _, r := range p.count(10, callTime) {
				require.Equal(t, "red", r.label())
			}
			code, took := p.stop()
			require.Zero(t, code)
			t.Logf("stopped within %.2f s", took.Seconds())
			require.Less(t, took, resumeTime)
		})
	}
}

// TestVividFormats reads every raw format from a driver that converts nothing.
func TestVividFormats(t *testing.T) {
	d := vivid(t, machine.Virt("cortex-a76"))
	for _, format := range []string{"yuyv", "nv12", "i420"} {
		p := d.watch("usb:"+vividDevice, "-format", format)
		for _, colour := range []string{"green", "blue", "red"} {
			d.set(testPattern, patterns()[colour])
			p.until(callTime, format+" shows "+colour, func(r seen) bool { return r.label() == colour })
		}
		code, _ := p.stop()
		require.Zero(t, code)
	}
}

// TestVividFaults makes the driver fail in every way it can.
func TestVividFaults(t *testing.T) {
	d := vivid(t, machine.Virt("cortex-a76"))
	p := d.watch("usb:" + vividDevice)
	p.count(3, callTime)
	const fatal = "Inject Fatal Streaming Error"
	colours := []string{"green", "blue", "red"}
	for i, controls := range [][]string{
		{"Inject V4L2_BUF_FLAG_ERROR"},
		{"Inject VIDIOC_QBUF Error"},
		{fatal},
		// These two fail when a stream starts, and so after another fault.
		{"Inject VIDIOC_REQBUFS Error", fatal},
		{"Inject VIDIOC_STREAMON Error", fatal},
		{"Disconnect"},
	} {
		d.step(joined(controls), func() {
			colour := colours[i%len(colours)]
			fault := d.set(testPattern, patterns()[colour])
			for _, c := range controls {
				fault = d.set(c, 1)
			}
			took := p.resumes(fault.Add(frameTime), colour)
			d.Logf("results again after %.1f s", took.Seconds())
			if i > 0 {
				require.Contains(d, p.newErrors(), "camera gives no frames", "nothing failed")
			}
		})
	}
	code, _ := p.stop()
	require.Zero(t, code)
}

// TestVividDrops makes the driver lose frames.
func TestVividDrops(t *testing.T) {
	const drops = "Percentage of Dropped Buffers"
	d := vivid(t, machine.Virt("cortex-a76"))
	p := d.watch("usb:" + vividDevice)
	before := p.count(3, callTime)[2]
	d.step("half", func() {
		d.set(drops, 50)
		some := p.count(10, callTime)
		d.Logf("dropped %d frames before, then %d", before.Dropped, some[9].Dropped)
		require.Greater(d, some[9].Dropped, before.Dropped)
	})
	d.step("all", func() {
		silent := d.set(drops, 100).Add(frameTime)
		time.Sleep(4 * time.Second)
		for _, r := range p.results(0) {
			require.True(d, r.Time.Before(silent), "a result of %v: there are no frames since %v", r.Time, silent)
		}
		d.set(testPattern, patterns()["green"])
		p.resumes(d.set(drops, 0), "green")
	})
}
