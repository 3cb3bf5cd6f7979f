package calibrate

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"edgeclassify/models"
)

// Means are the averages of a tensor's channels over all calibration pictures.
// In JSON they are one string, so that a layer takes one line of a table.
type Means []float64

// digits of a mean that a table keeps: an error of 1e-4 of it is far below one
// step of the tensor.
const digits = 4

// MarshalText writes the means with spaces in between.
func (m Means) MarshalText() ([]byte, error) {
	var text []byte
	for i, v := range m {
		if i > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendFloat(text, v, 'g', digits, 64)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText wrote.
func (m *Means) UnmarshalText(text []byte) error {
	*m = nil
	for _, field := range strings.Fields(string(text)) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return fmt.Errorf("a channel's mean: %w", err)
		}
		if !(v > -huge && v < huge) {
			return fmt.Errorf("a channel's mean is %g", v)
		}
		*m = append(*m, v)
	}
	return nil
}

// averaged names the units whose means matter, by tensor: those that feed a
// convolution or the classifier.
func averaged(units []unit) map[string]string {
	read := map[string]bool{}
	for _, u := range units {
		switch u.op.(type) {
		case *models.Conv, *models.Dense:
			read[u.inputs[0]] = true
		}
	}
	names := map[string]string{}
	for _, u := range units {
		if read[u.name] {
			names[u.tensor] = u.name
		}
	}
	return names
}

// sums are the sums of tensors' values by channel.
type sums map[string][]float64

// set replaces a tensor's sums by those of values, in HWC order, divided by the
// number of pixels.
func (s sums) set(name string, values []float32, channels int) {
	total := s[name]
	if total == nil {
		total = make([]float64, channels)
		s[name] = total
	}
	clear(total)
	pixels := float64(len(values) / channels)
	for ; len(values) > 0; values = values[channels:] {
		for c, v := range values[:channels] {
			total[c] += float64(v)
		}
	}
	for c := range total {
		total[c] /= pixels
	}
}

func (s sums) add(other sums) {
	for name, values := range other {
		if s[name] == nil {
			s[name] = make([]float64, len(values))
		}
		for c, v := range values {
			s[name][c] += v
		}
	}
}

// rounded are the means as a table keeps them, so that a network made with the
// table is the same whether it was stored or not.
func (m Means) rounded() Means {
	r := make(Means, len(m))
	for c, v := range m {
		r[c], _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64) // it is a number
	}
	return r
}

// turns lets goroutines that work on numbered pictures add to sums in the order
// of the numbers, on which the rounding of sums depends.
type turns struct {
	mu   sync.Mutex
	cond sync.Cond
	next int
}

func newTurns() *turns {
	t := &turns{}
	t.cond.L = &t.mu
	return t
}

// take waits until do was called for all numbers before i, and calls it.
func (t *turns) take(i int, do func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.next != i {
		t.cond.Wait()
	}
	t.next++
	t.cond.Broadcast()
	return do()
}
