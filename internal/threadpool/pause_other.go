//go:build !(amd64 || arm64) || purego

package threadpool

// pause has nothing to tell this CPU.
func pause() {}
