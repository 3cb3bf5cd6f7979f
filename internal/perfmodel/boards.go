package main

// board is a machine whose time is predicted. Spans are what was measured at best and
// at worst.
type board struct {
	Name    string  `json:"board"`
	Model   string  `json:"-"` // what the device tree's model begins with
	Core    string  `json:"core"`
	GHz     float64 `json:"ghz"`
	Threads int     `json:"threads"`
	// Levels are the data caches, of which the last is shared.
	Levels  []level `json:"caches"`
	Victims bool    `json:"victim_cache,omitempty"` // the last one, see caches
	Page    int     `json:"page_bytes"`
	// Stream is what all cores together read from memory, bytes a nanosecond.
	Stream span `json:"dram_gb_per_s"`
	// DRAM is the nanoseconds that a line takes longer from memory than from the first cache.
	DRAM float64 `json:"dram_ns"`
	// Barrier is the microseconds at the end of each layer: an assumption.
	Barrier float64 `json:"barrier_us"`
}

// boards are those of the project. Sizes and ways of caches: Arm's Technical Reference
// Manuals and Raspberry Pi's documentation of BCM2712, BCM2711 and BCM2710. Latencies and
// bandwidths: tinymembench and ramlat in the collection of ThomasKaiser/sbc-bench, results
// 8-NK (Pi 5), 3OBF (Pi 4), 1isD (Pi 3B+) and 3E85 (Zero 2 W), of one core: of random reads
// what they take beyond the first cache's, and of reading in order (on the Pi 4, for which that is
// missing, of copying, both directions) the quickest and the slowest. Four
// cores share that, as one is enough to fill it but on the Pi 5, where the worse figure is the one of
// a core that computes as it reads. Pages: Raspberry Pi OS.
func boards() []board {
	return []board{
		{"Pi 5", "Raspberry Pi 5", "A76", 2.4, 4, []level{{64, 4, 0}, {512, 8, 8}, {2048, 16, 46}}, true, 16 << 10, span{14.9, 9.4}, 113, 5},
		{"Pi 4", "Raspberry Pi 4", "A72", 1.8, 4, []level{{32, 2, 0}, {1024, 16, 18}}, false, 4 << 10, span{4.6, 3.1}, 140, 8},
		{"Pi 3B+", "Raspberry Pi 3 Model B Plus", "A53", 1.4, 4, []level{{32, 4, 0}, {512, 16, 12}}, false, 4 << 10, span{2.35, 1.87}, 172, 12},
		{"Zero 2 W", "Raspberry Pi Zero 2", "A53", 1, 4, []level{{32, 4, 0}, {512, 16, 12}}, false, 4 << 10, span{2.32, 1.57}, 170, 16},
	}
}
