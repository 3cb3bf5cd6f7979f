//go:build (amd64 || arm64) && !purego

package threadpool

// pause tells the CPU that the thread waits for another one's store.
func pause()
