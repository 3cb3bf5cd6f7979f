package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is the flag value of a number of bytes, such as 256MB or 1.5GiB.
type Size int64

// units of a Size, longer names first.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"B", 1}, {"", 1},
}

// Set reads a size.
func (s *Size) Set(text string) error {
	for _, unit := range units {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0 && n*unit.bytes < math.MaxInt64) {
			break
		}
		*s = Size(n * unit.bytes)
		return nil
	}
	return fmt.Errorf("want a size such as 256MB, 1.5GB or 512MiB")
}

// String is the size in megabytes, rounded up, or in bytes where there are few.
func (s Size) String() string {
	if s < 1e6 {
		return strconv.FormatInt(int64(s), 10)
	}
	return fmt.Sprintf("%dMB", (int64(s)+1e6-1)/1e6)
}
