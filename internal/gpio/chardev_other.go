//go:build !linux

package gpio

import (
	"errors"
	"fmt"
)

type device struct{}

func (device) chips() []string { return nil }

func (device) open(path string) (chip, error) {
	return nil, fmt.Errorf("%s: pins are Linux's only: %w", path, errors.ErrUnsupported)
}
