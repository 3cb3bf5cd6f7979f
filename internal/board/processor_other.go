//go:build !arm64

package board

import "io/fs"

// ReadProcessor asks the system about the processor.
func ReadProcessor(root fs.FS) Processor { return x86Processor(root) }
