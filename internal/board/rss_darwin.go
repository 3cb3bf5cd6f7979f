package board

import "golang.org/x/sys/unix"

// PeakRSS is the largest resident memory that the process has had, in bytes;
// 0 where the system does not tell.
func PeakRSS() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss // in bytes, unlike elsewhere: getrusage(2) of macOS
}
