package main

import (
	"bytes"
	"context"
	"encoding/json"
	goruntime "runtime"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/int8"
	"edgeclassify/internal/board"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// testedModel writes a network with a self-test.
func testedModel(t *testing.T, change func(*q8.SelfTest)) string {
	m, test := nettest.Model(1, false), &q8.SelfTest{Seed: 7}
	logits, err := m.Reference(test.Image(m.Network), nil)
	require.NoError(t, err)
	test.LogitsSHA256 = int8.HashLogits(logits)
	change(test)
	m, err = q8.New(m.Network, m.Preprocess, m.Classes, m.Activation, m.Provenance, test)
	require.NoError(t, err)
	return write(t, "tested.q8", m)
}

// diagnose runs the doctor, and finds the checks by their names.
func diagnose(t *testing.T, args ...string) (code int, d diagnosis, checks map[string]check) {
	code, out, errs := classifyHere(t, nil, append([]string{"doctor", "-json"}, args...)...)
	require.NoError(t, json.Unmarshal([]byte(out), &d), errs)
	checks = map[string]check{}
	for _, c := range d.Checks {
		require.Contains(t, []string{statusOK, statusWarn, statusFail}, c.Status)
		require.NotEmpty(t, c.Found, c.Check)
		require.Equal(t, c.Status == statusOK, c.Advice == "", "advice where it is wanted: %v", c)
		checks[c.Check] = c
	}
	return code, d, checks
}

func TestDoctorOfAHealthyModel(t *testing.T) {
	path := testedModel(t, func(*q8.SelfTest) {})
	for _, kernel := range runtime.Kernels() {
		_, _, checks := diagnose(t, "-model", path, "-kernel", kernel.Name)
		require.Equal(t, fine("self-test", "all logits are right to the bit"), checks["self-test"], kernel.Name)
	}
	_, d, checks := diagnose(t, "-model", path, "-camera", "test")
	for _, name := range []string{"program", "processor", "kernel", "model", "self-test", "speed", "clock", "governor", "temperature", "throttling", "memory", "frames"} {
		require.Contains(t, checks, name)
	}
	require.Equal(t, statusOK, checks["model"].Status)
	require.Contains(t, checks["kernel"].Found, runtime.Kernels()[0].Name)
	require.Contains(t, checks["frames"].Found, "test: ")
	require.NotEmpty(t, d.Checks)
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	code, d, checks := diagnose(t, "-model", testedModel(t, func(s *q8.SelfTest) { s.Seed++ }))
	require.Equal(t, cli.ExitFailure, code)
	require.False(t, d.OK)
	require.Equal(t, statusFail, checks["self-test"].Status)

	code, _, checks = diagnose(t, "-model", smallModel(t))
	require.Equal(t, statusWarn, checks["self-test"].Status)
	require.Contains(t, checks["self-test"].Found, "carries none")
	require.Contains(t, []int{cli.ExitOK, cli.ExitFailure}, code, "warnings are no failure, but this machine may have one")

	code, d, checks = diagnose(t, "-model", "none.q8")
	require.Equal(t, cli.ExitFailure, code)
	require.False(t, d.OK)
	require.Equal(t, statusFail, checks["model"].Status)

	code, _, checks = diagnose(t, "-camera", "file:"+t.TempDir())
	require.Equal(t, cli.ExitFailure, code)
	require.Equal(t, statusFail, checks["frames"].Status)
}

func TestDoctorForPeople(t *testing.T) {
	d := diagnosis{OK: true}
	d.add(fine("clock", "2400 MHz"))
	require.True(t, d.OK)
	d.add(warning("memory", "1 MB available", "end other programs"))
	require.True(t, d.OK)
	d.add(failure("model", "damaged", "copy it again"))
	require.False(t, d.OK)
	var out bytes.Buffer
	require.NoError(t, d.print(&out, false))
	require.Equal(t, "ok    clock   2400 MHz\nwarn  memory  1 MB available\n              -> end other programs\n"+
		"fail  model   damaged\n              -> copy it again\n", out.String())
}

func TestDoctorUsage(t *testing.T) {
	for _, args := range [][]string{{"doctor", "x"}, {"doctor", "-threads", "0"}, {"doctor", "-colour"}} {
		code, out, _ := classifyHere(t, nil, args...)
		require.Equal(t, cli.ExitUsage, code)
		require.Empty(t, out)
	}
	code, out, _ := classifyHere(t, nil, "doctor", "-h")
	require.Zero(t, code)
	require.Contains(t, out, "Usage: edge-classify doctor")
}

func TestChecksOfTheMachine(t *testing.T) {
	cold, warm := 45.0, 84.7
	throttle := func(now, past []string) check { return checkThrottle(&board.Throttle{Now: now, SinceBoot: past}) }
	memory := func(text string) check {
		return checkMemory(fstest.MapFS{"proc/meminfo": &fstest.MapFile{Data: []byte(text)}})
	}
	for want, checks := range map[string][]check{
		statusOK: {
			checkClock(2390, board.State{MHz: 2400, MaxMHz: 2400}), checkClock(600, board.State{}),
			checkGovernor(board.State{}), checkGovernor(board.State{Governor: "ondemand"}),
			checkTemperature(board.State{}), checkTemperature(board.State{Celsius: &cold}),
			checkThrottle(nil), throttle(nil, nil),
			memory("MemAvailable: 400000 kB\n"), memory(""),
		},
		statusWarn: {
			checkClock(1500, board.State{MHz: 1500, MaxMHz: 2400}),
			checkGovernor(board.State{Governor: "powersave"}),
			checkTemperature(board.State{Celsius: &warm}),
			throttle([]string{"throttled"}, nil), throttle(nil, []string{"under-voltage"}),
			memory("MemAvailable: 20000 kB\n"),
		},
		statusFail: {throttle([]string{"under-voltage", "throttled"}, []string{"under-voltage"}), checkKernel("abacus")},
	} {
		for _, c := range checks {
			require.Equal(t, want, c.Status, c)
			require.Equal(t, want == statusOK, c.Advice == "", c)
		}
	}
	require.Contains(t, throttle([]string{"under-voltage"}, nil).Advice, "power supply")
	require.Contains(t, checkKernel("").Found, runtime.Kernels()[0].Name)
	if len(runtime.Kernels()) > 1 {
		require.Equal(t, statusWarn, checkKernel("generic").Status)
	}
	require.Contains(t, checkProgram().Found, goruntime.GOARCH)
}

func TestChecksOfFrames(t *testing.T) {
	s := capture.Status{Device: "test", FPS: 30}
	require.Equal(t, statusOK, judgeFrames(s, 29.5, time.Millisecond).Status)
	require.Contains(t, judgeFrames(s, 14, time.Millisecond).Advice, "light")
	require.Contains(t, judgeFrames(s, 30, time.Second).Advice, "late")
	s.Corrupt = 1
	require.Contains(t, judgeFrames(s, 30, time.Millisecond).Advice, "cable")
}

func TestDoctorIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	code := cli.Run(ctx, "edge-classify", []string{"doctor", "-camera", "test"}, cli.Streams{Out: &out, Err: &out}, run)
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, out.String(), "interrupted")
}
