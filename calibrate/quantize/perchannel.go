package quantize

import (
	"fmt"
	"strconv"
	"strings"
)

// PerChannel is a value for each channel of a tensor, like its average over all
// calibration images. In JSON it is one string, so that a layer takes one line of
// a table.
type PerChannel []float64

// digits of a value that a table keeps: an error of 1e-4 of a mean is far below
// one step of the tensor.
const digits = 4

// MarshalText writes the values with spaces in between.
func (p PerChannel) MarshalText() ([]byte, error) {
	var text []byte
	for i, v := range p {
		if i > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendFloat(text, v, 'g', digits, 64)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText wrote.
func (p *PerChannel) UnmarshalText(text []byte) error {
	*p = nil
	for _, field := range strings.Fields(string(text)) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return fmt.Errorf("a channel's mean: %w", err)
		}
		if !(v > -huge && v < huge) {
			return fmt.Errorf("a channel's mean is %g", v)
		}
		*p = append(*p, v)
	}
	return nil
}

// Rounded is p as a table keeps it, so that a network made with the table is the
// same whether it was stored or not.
func (p PerChannel) Rounded() PerChannel {
	r := make(PerChannel, len(p))
	for c, v := range p {
		r[c], _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64) // it is a number
	}
	return r
}
