// Package board is what the system tells about the machine: its processor,
// clock, temperature, throttling and memory. What the system does not tell is
// left empty, and never an error.
package board

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Model is the board's name from the device tree, such as "Raspberry Pi 5
// Model B Rev 1.0". root is the root of the file system, as are all others of
// this package.
func Model(root fs.FS) string {
	return strings.TrimRight(read(root, "proc/device-tree/model"), "\x00")
}

// State is what changes with load and heat.
type State struct {
	// MHz is the clock that Linux's cpufreq has set for the fastest core, and
	// MaxMHz the highest it may set.
	MHz      float64 `json:"mhz,omitempty"`
	MaxMHz   float64 `json:"max_mhz,omitempty"`
	Governor string  `json:"governor,omitempty"` // of the fastest core
	// Celsius is the temperature of the hottest sensor.
	Celsius  *float64  `json:"celsius,omitempty"`
	Throttle *Throttle `json:"throttle,omitempty"`
}

// Read reads the state. Formats: Linux, Documentation/admin-guide/pm/cpufreq.rst
// and Documentation/driver-api/thermal/sysfs-api.rst.
func Read(root fs.FS) State {
	var s State
	for _, policy := range glob(root, "sys/devices/system/cpu/cpufreq/policy*") {
		highest, ok := number(root, path.Join(policy, "cpuinfo_max_freq"), 10)
		if ok && float64(highest)/1e3 > s.MaxMHz {
			current, _ := number(root, path.Join(policy, "scaling_cur_freq"), 10)
			s.MHz, s.MaxMHz = float64(current)/1e3, float64(highest)/1e3
			s.Governor = read(root, path.Join(policy, "scaling_governor"))
		}
	}
	for _, sensor := range glob(root, "sys/class/thermal/thermal_zone*/temp") {
		if milli, ok := number(root, sensor, 10); ok {
			if c := float64(milli) / 1e3; s.Celsius == nil || c > *s.Celsius {
				s.Celsius = &c
			}
		}
	}
	s.Throttle = readThrottle(root)
	return s
}

// String is the state in one line, empty where nothing is known.
func (s State) String() string {
	var parts []string
	if s.MaxMHz > 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("cpufreq %.0f of %.0f MHz %s", s.MHz, s.MaxMHz, s.Governor)))
	}
	if s.Celsius != nil {
		parts = append(parts, fmt.Sprintf("%.1f °C", *s.Celsius))
	}
	if s.Throttle != nil {
		parts = append(parts, s.Throttle.String())
	}
	return strings.Join(parts, ", ")
}

// Throttle is why a Raspberry Pi's firmware has slowed the processor down.
type Throttle struct {
	Now       []string `json:"now"`
	SinceBoot []string `json:"since_boot"`
}

// reasons are the firmware's flags for now, from bit 0; 16 bits above are those
// for since boot. (Raspberry Pi documentation, vcgencmd get_throttled.)
var reasons = [...]string{"under-voltage", "clock capped", "throttled", "soft temperature limit"}

// readThrottle reads the flags, in hexadecimal, from the firmware driver, whose
// device carries the bus address on some boards. Kernels without that file have
// an alarm for under-voltage at least (Linux, Documentation/hwmon/raspberrypi-hwmon.rst).
func readThrottle(root fs.FS) *Throttle {
	for _, file := range glob(root, "sys/devices/platform/soc*/soc*:firmware/get_throttled") {
		if flags, ok := number(root, file, 16); ok {
			return &Throttle{Now: named(flags), SinceBoot: named(flags >> 16)}
		}
	}
	for _, sensor := range glob(root, "sys/class/hwmon/hwmon*") {
		alarm, ok := number(root, path.Join(sensor, "in0_lcrit_alarm"), 10)
		if ok && read(root, path.Join(sensor, "name")) == "rpi_volt" {
			return &Throttle{Now: named(alarm & 1), SinceBoot: []string{}}
		}
	}
	return nil
}

func named(flags int64) []string {
	names := []string{}
	for bit, name := range reasons {
		if flags>>bit&1 != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String says what slows the processor down now and did since boot.
func (t *Throttle) String() string {
	text := "not throttled"
	if len(t.Now) > 0 {
		text = "slowed down now: " + strings.Join(t.Now, ", ")
	}
	if len(t.SinceBoot) > 0 {
		text += "; since boot: " + strings.Join(t.SinceBoot, ", ")
	}
	return text
}

// peakRSS is the process's largest resident memory in bytes, from Linux's
// /proc/self/status (proc_pid_status(5)).
func peakRSS(root fs.FS) int64 { return kilobytes(root, "proc/self/status", "VmHWM:") }

// kilobytes reads the line of a file that begins with key, and returns bytes.
func kilobytes(root fs.FS, file, key string) int64 {
	for line := range strings.Lines(read(root, file)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return decimal(strings.TrimSuffix(strings.TrimSpace(value), "kB")) << 10
		}
	}
	return 0
}

// glob is the files of that pattern. Patterns are constants, and well formed.
func glob(root fs.FS, pattern string) []string {
	files, _ := fs.Glob(root, pattern)
	return files
}

// read is the text of a file, empty where it cannot be read.
func read(root fs.FS, file string) string {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// decimal is a number between spaces, 0 where it is none.
func decimal(text string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n
}

// number is the one number that a file holds.
func number(root fs.FS, file string, base int) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimPrefix(read(root, file), "0x"), base, 64)
	return n, err == nil
}
