//go:build !linux

package i2c

import (
	"errors"
	"fmt"
	"syscall"
)

func noAnswer(err error) bool { return errors.Is(err, syscall.ENXIO) }

func openAdapter(path string) (adapter, error) {
	return nil, fmt.Errorf("%s: I²C is Linux's only: %w", path, errors.ErrUnsupported)
}
