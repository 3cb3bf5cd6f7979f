package trainer

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The thread of the lowest priority is gone when its goroutine ends, and no other one
// has it.
func TestBackground(t *testing.T) {
	lowest := func() (threads []int) {
		tasks, err := filepath.Glob("/proc/self/task/*")
		require.NoError(t, err)
		for _, task := range tasks {
			id, err := strconv.Atoi(filepath.Base(task))
			require.NoError(t, err)
			if raw, err := unix.Getpriority(unix.PRIO_PROCESS, id); err == nil && raw == 20-19 { // as the system call has it
				threads = append(threads, id)
			}
		}
		return threads
	}
	if before, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid()); err != nil || before == 1 {
		t.Skip("the test itself has the lowest priority")
	}
	for range 50 { // now and then on the main thread
		own, goOn := make(chan int), make(chan struct{})
		go background(func() {
			done := make(chan struct{})
			go close(done) // threads that are started from here
			<-done
			own <- unix.Gettid()
			<-goOn
		})
		require.Equal(t, []int{<-own}, lowest())
		close(goOn)
		require.Eventually(t, func() bool { return len(lowest()) == 0 }, soon, time.Millisecond)
	}
}
