package main

import (
	"fmt"
	"io/fs"
	goruntime "runtime"
	"slices"
	"strings"

	"edgeclassify/int8"
	"edgeclassify/internal/board"
	"edgeclassify/internal/cli"
	"edgeclassify/runtime"
)

const (
	hot        = 80 // °C: boards slow down at 80 to 85
	slowClock  = 0.85
	tightSpare = 64 << 20 // bytes of memory
)

func checkProgram() check {
	found := fmt.Sprintf("edge-classify %s, %s/%s", cli.Version(), goruntime.GOOS, goruntime.GOARCH)
	if goruntime.GOARCH == "arm" {
		return warning("program", found, "the 32-bit program has no fast kernels: use the arm64 one, on a 64-bit system")
	}
	return fine("program", found)
}

func checkProcessor(root fs.FS) check {
	found := fmt.Sprintf("%s; by default %s", board.ReadProcessor(root), count(runtime.DefaultThreads(), "thread"))
	if name := board.Model(root); name != "" {
		found = name + ": " + found
	}
	return fine("processor", found)
}

// checkKernel looks at the kernel of that name, or the one that is picked.
func checkKernel(name string) check {
	kernels := runtime.Kernels()
	if name == "" {
		name = kernels[0].Name
	}
	at := slices.IndexFunc(kernels, func(k int8.Kernel) bool { return k.Name == name })
	why, known := needs[name]
	switch {
	case at < 0:
		return failure("kernel", name+": not for this CPU", "leave -kernel out, or pick one that 'edge-classify kernels' lists")
	case at > 0:
		return warning("kernel", name+", as asked for", "without -kernel it is "+kernels[0].Name+", which is faster")
	case !known:
		return warning("kernel", name+": no faster one is for this CPU", "use a processor with AVX2 or NEON, and a program for it")
	}
	return fine("kernel", name+": "+why)
}

// checkMachine looks at what changes with load and heat.
func checkMachine(root fs.FS) []check {
	board.MeasureMHz() // a governor raises the clock under load, a moment later
	mhz, state := board.MeasureMHz(), board.Read(root)
	return []check{checkClock(mhz, state), checkGovernor(state), checkTemperature(state), checkThrottle(state.Throttle), checkMemory(root)}
}

func checkClock(mhz float64, s board.State) check {
	found := fmt.Sprintf("measured %.0f MHz", mhz)
	if s.MaxMHz == 0 {
		return fine("clock", found)
	}
	found += fmt.Sprintf(", cpufreq %.0f of %.0f MHz", s.MHz, s.MaxMHz)
	if mhz < slowClock*s.MaxMHz {
		return warning("clock", found, "other programs, the governor or throttling hold it down")
	}
	return fine("clock", found)
}

func checkGovernor(s board.State) check {
	switch s.Governor {
	case "":
		return fine("governor", "not told by this system")
	case "powersave":
		return warning("governor", s.Governor, "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor")
	}
	return fine("governor", s.Governor)
}

func checkTemperature(s board.State) check {
	if s.Celsius == nil {
		return fine("temperature", "not told by this system")
	}
	found := fmt.Sprintf("%.1f °C", *s.Celsius)
	if *s.Celsius >= hot {
		return warning("temperature", found, "cool the board: a heat sink, a fan, more air; it slows itself down at 80 to 85 °C")
	}
	return fine("temperature", found)
}

// remedies are against the firmware's reasons to slow the processor down.
var remedies = map[string]string{
	"under-voltage":          "use a stronger power supply (Pi 5: 5 V 5 A, Pi 4: 5 V 3 A) and a short, thick cable",
	"clock capped":           "the firmware caps the clock: see under-voltage and temperature",
	"throttled":              "the firmware has slowed the clock down: see under-voltage and temperature",
	"soft temperature limit": "cool the board: a heat sink, a fan, more air",
}

func checkThrottle(t *board.Throttle) check {
	if t == nil {
		return fine("throttling", "not told by this system")
	}
	var advice []string
	for _, reason := range append(slices.Clone(t.Now), t.SinceBoot...) {
		if a := remedies[reason]; !slices.Contains(advice, a) {
			advice = append(advice, a)
		}
	}
	text := strings.Join(advice, "; ")
	switch {
	case slices.Contains(t.Now, "under-voltage"):
		return failure("throttling", t.String(), text)
	case len(advice) > 0:
		return warning("throttling", t.String(), text)
	}
	return fine("throttling", t.String())
}

// checkMemory looks at what is left for other programs.
func checkMemory(root fs.FS) check {
	_, available := board.Memory(root)
	found := fmt.Sprintf("%s available, %s used by this program at most", megabytes(available), megabytes(board.PeakRSS()))
	if available > 0 && available < tightSpare {
		return warning("memory", found, "end other programs: a system without memory to spare reads its programs from the card again and again")
	}
	return fine("memory", found)
}
