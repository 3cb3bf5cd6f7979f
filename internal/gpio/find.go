package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// system is where chips are: the real one, or a test's.
type system interface {
	chips() []string // paths
	open(path string) (chip, error)
}

// headerPins is how many pins of the Broadcom numbering a Raspberry Pi's
// header has. Those above run the board itself, such as its memory card.
const headerPins = 28

var pinName = regexp.MustCompile(`^(?:(gpiochip\d+):|(?i:GPIO))?(\d{1,4})$`)

// find opens the chip of the pin with this name. number is the pin's on it.
func find(name string, sys system) (c chip, number int, err error) {
	match := pinName.FindStringSubmatch(name)
	if match == nil {
		return nil, 0, fmt.Errorf("gpio: %q is no pin: want a number as on the pinout, such as GPIO17 or 17, or gpiochipN:LINE", name)
	}
	number, _ = strconv.Atoi(match[2])
	if match[1] != "" {
		c, err = openChip("/dev/"+match[1], sys)
	} else if number < headerPins {
		c, err = headerChip(sys)
	} else {
		err = fmt.Errorf("gpio: %q is not on a Raspberry Pi's header, which has GPIO0 to GPIO%d; for other lines write gpiochipN:LINE", name, headerPins-1)
	}
	if err != nil {
		return nil, 0, err
	}
	if lines := c.info().lines; number >= lines {
		c.Close()
		return nil, 0, fmt.Errorf("gpio: %q: the chip has lines 0 to %d", name, lines-1)
	}
	return c, number, nil
}

// headerChip opens the chip whose lines are the header's pins. Its label tells:
// on a Raspberry Pi 5 it is gpiochip4 or gpiochip0, which depends on the kernel.
func headerChip(sys system) (chip, error) {
	var others []string
	var failed error
	for _, path := range sys.chips() {
		c, err := openChip(path, sys)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		label := c.info().label
		if label == "pinctrl-bcm2835" || label == "pinctrl-bcm2711" || label == "pinctrl-rp1" {
			return c, nil
		}
		others = append(others, fmt.Sprintf("%s (%s)", filepath.Base(path), label))
		c.Close()
	}
	switch {
	case failed != nil:
		return nil, failed
	case others == nil:
		return nil, errors.New("gpio: this system has no GPIO chip (/dev/gpiochip*)")
	}
	return nil, fmt.Errorf("gpio: no Raspberry Pi's GPIO among %s: write gpiochipN:LINE", strings.Join(others, ", "))
}

func openChip(path string, sys system) (chip, error) {
	c, err := sys.open(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("gpio: %w: join the group gpio (sudo usermod -aG gpio USER) and log in again", err)
	case err != nil:
		return nil, fmt.Errorf("gpio: %w", err)
	}
	return c, nil
}
