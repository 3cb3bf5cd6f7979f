package board

import (
	"io/fs"

	"edgeclassify/arm64"
)

// ReadProcessor asks the system about the processor.
func ReadProcessor(fs.FS) Processor {
	cpu := arm64.Detect()
	p := Processor{Name: cpu.String()}
	if fast := cpu.Fast(); len(fast) > 0 {
		p.Core = fast[0].Name
	}
	return p
}
