package board

import (
	"encoding/json"
	"io/fs"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// tree is a file system with these texts.
func tree(files map[string]string) fs.FS {
	t := fstest.MapFS{}
	for name, text := range files {
		t[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return t
}

// pi5 is as a Raspberry Pi 5 shows itself, hot and on a weak power supply.
var pi5 = map[string]string{
	"proc/device-tree/model":                                                    "Raspberry Pi 5 Model B Rev 1.0\x00",
	"sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq":                   "1500000\n",
	"sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq":                   "2400000\n",
	"sys/devices/system/cpu/cpufreq/policy0/scaling_governor":                   "ondemand\n",
	"sys/class/thermal/thermal_zone0/temp":                                      "84700\n",
	"sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "d0005\n",
}

func TestPi5(t *testing.T) {
	root := tree(pi5)
	require.Equal(t, "Raspberry Pi 5 Model B Rev 1.0", Model(root))
	s := Read(root)
	celsius := 84.7
	require.Equal(t, State{MHz: 1500, MaxMHz: 2400, Governor: "ondemand", Celsius: &celsius, Throttle: &Throttle{
		Now:       []string{"under-voltage", "throttled"},
		SinceBoot: []string{"under-voltage", "throttled", "soft temperature limit"},
	}}, s)
	require.Equal(t, "cpufreq 1500 of 2400 MHz ondemand, 84.7 °C, slowed down now: under-voltage, throttled; "+
		"since boot: under-voltage, throttled, soft temperature limit", s.String())
}

func TestThrottle(t *testing.T) {
	for text, want := range map[string]string{
		"0\n":     `{"now":[],"since_boot":[]}`,
		"0x0\n":   `{"now":[],"since_boot":[]}`,
		"50000\n": `{"now":[],"since_boot":["under-voltage","throttled"]}`,
		"2\n":     `{"now":["clock capped"],"since_boot":[]}`,
		"f0008\n": `{"now":["soft temperature limit"],"since_boot":["under-voltage","clock capped","throttled","soft temperature limit"]}`,
		"":        `null`,
		"busy\n":  `null`,
	} {
		s := Read(tree(map[string]string{"sys/devices/platform/soc/soc:firmware/get_throttled": text}))
		got, err := json.Marshal(s.Throttle)
		require.NoError(t, err)
		require.Equal(t, want, string(got), text)
	}
	require.Equal(t, "not throttled", (&Throttle{}).String())
}

// Kernels without the firmware's file tell of under-voltage only.
func TestUnderVoltageAlarm(t *testing.T) {
	alarm := func(name, text string) *Throttle {
		return Read(tree(map[string]string{"sys/class/hwmon/hwmon3/name": name, "sys/class/hwmon/hwmon3/in0_lcrit_alarm": text})).Throttle
	}
	require.Equal(t, &Throttle{Now: []string{"under-voltage"}, SinceBoot: []string{}}, alarm("rpi_volt\n", "1\n"))
	require.Equal(t, &Throttle{Now: []string{}, SinceBoot: []string{}}, alarm("rpi_volt\n", "0\n"))
	require.Nil(t, alarm("rpi_volt\n", ""))
	require.Nil(t, alarm("another", "1"))
}

// The fastest of several clusters and the hottest of several sensors count,
// and sensors that fail are left out.
func TestSeveralClustersAndSensors(t *testing.T) {
	s := Read(tree(map[string]string{
		"sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1800000",
		"sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1800000",
		"sys/devices/system/cpu/cpufreq/policy4/cpuinfo_max_freq": "2400000",
		"sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "408000",
		"sys/class/thermal/thermal_zone0/temp":                    "-2000",
		"sys/class/thermal/thermal_zone1/temp":                    "0",
		"sys/class/thermal/thermal_zone2/temp":                    "not ready",
	}))
	require.Equal(t, "cpufreq 408 of 2400 MHz, 0.0 °C", s.String())
}

func TestNothingKnown(t *testing.T) {
	root := tree(nil)
	require.Empty(t, Model(root))
	require.Empty(t, Read(root).String())
	require.Zero(t, peakRSS(root))
	require.Equal(t, "unknown processor", x86Processor(root).String())
	text, err := json.Marshal(Read(root))
	require.NoError(t, err)
	require.Equal(t, "{}", string(text))
}

func TestX86Processor(t *testing.T) {
	const first = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) Processor\n\n"
	const second = "processor\t: 1\nmodel name\t: another\n"
	p := x86Processor(tree(map[string]string{"proc/cpuinfo": first + second}))
	require.Equal(t, Processor{Name: "Intel(R) Xeon(R) Processor", Core: "Sapphire Rapids"}, p)
	require.Equal(t, "Intel(R) Xeon(R) Processor (Sapphire Rapids)", p.String())

	const amd = "vendor_id\t: AuthenticAMD\ncpu family\t: 6\nmodel\t: 143\nmodel name\t: AMD EPYC\n"
	require.Equal(t, "AMD EPYC", x86Processor(tree(map[string]string{"proc/cpuinfo": amd})).String())
}

func TestMemory(t *testing.T) {
	const meminfo = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable:     600 kB\n"
	for name, c := range map[string]struct {
		files            map[string]string
		total, available int64
	}{
		"nothing known": {},
		"the machine's": {map[string]string{"proc/meminfo": meminfo}, 1000 << 10, 600 << 10},
		"a service's, whose file cache can go": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/edge-classify.service\n",
			"sys/fs/cgroup/system.slice/edge-classify.service/memory.max":     "409600\n",
			"sys/fs/cgroup/system.slice/edge-classify.service/memory.current": "307200\n",
			"sys/fs/cgroup/system.slice/edge-classify.service/memory.stat":    "anon 204800\nactive_file 3\ninactive_file 102400\n",
		}, 400 << 10, 200 << 10},
		"that of a group above": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max": "512000", "sys/fs/cgroup/a/memory.current": "512001", "sys/fs/cgroup/a/b/memory.max": "max",
		}, 500 << 10, 1},
		"a container's, in names of the host": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../../host/names",
			"sys/fs/cgroup/memory.max": "307200", "sys/fs/cgroup/memory.current": "1024",
		}, 300 << 10, 299 << 10},
		"version 1": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "9:cpu,cpuacct:/x\n4:memory:/docker/id\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":           "9223372036854771712",
			"sys/fs/cgroup/memory/docker/id/memory.limit_in_bytes": "307200",
			"sys/fs/cgroup/memory/docker/id/memory.usage_in_bytes": "204800",
			"sys/fs/cgroup/memory/docker/id/memory.stat":           "inactive_file 1\ntotal_inactive_file 102400\n",
		}, 300 << 10, 200 << 10},
		"a limit above the machine's": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "10240000", "sys/fs/cgroup/memory.current": "0",
		}, 1000 << 10, 600 << 10},
	} {
		total, available := Memory(tree(c.files))
		require.Equal(t, []int64{c.total, c.available}, []int64{total, available}, name)
	}
}

func TestPeakRSS(t *testing.T) {
	root := tree(map[string]string{"proc/self/status": "Name:\tedge-classify\nVmPeak:\t 1234567 kB\nVmHWM:\t   59452 kB\nVmRSS:\t 3 kB\n"})
	require.EqualValues(t, 59452<<10, peakRSS(root))
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" {
		const more = 64 << 20
		before := PeakRSS()
		require.Positive(t, before)
		touched := make([]byte, more)
		for i := range touched {
			touched[i] = 1
		}
		require.GreaterOrEqual(t, PeakRSS(), int64(more))
		runtime.KeepAlive(touched)
	}
}

func TestMeasuredClockIsPlausible(t *testing.T) {
	mhz := MeasureMHz()
	t.Logf("%.0f MHz", mhz)
	require.Greater(t, mhz, 1.0) // an emulator's may be slow
	require.Less(t, mhz, 8000.0)
}

// MeasureMHz counts on the number of instructions in a round.
func TestRoundsHaveTheirLinks(t *testing.T) {
	x := uint64(1)
	for range 3 * links / 2 {
		x = (x ^ 5) + 7
	}
	require.Equal(t, x, chain(1, 5, 7, 3))
}
