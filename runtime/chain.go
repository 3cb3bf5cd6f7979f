package runtime

import (
	"slices"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// chain is operations of which each reads what the one before makes, and nothing else
// does. A thread computes a band of the last one's rows at a time, and what the others
// make of it stays in the thread's cache: planes of a few rows in its scratch memory. Rows
// that the next band needs again are kept. (Alwani, Chen, Ferdman, Milder: Fused-Layer CNN
// Accelerators, 2016.)
type chain struct {
	node      // of the last operation
	plan      *Plan
	first     tensor.ID
	operators []operator
	windows   []tensor.Window // of each operation
	cost      cost
}

// id is the tensor that an operation makes.
func (c *chain) id(i int) tensor.ID { return c.first + tensor.ID(i) }

// overwrites says whether operation i writes its output over its first input, which is
// laid out alike.
func (c *chain) overwrites(i int) bool {
	return slices.Contains(c.operators[i].inPlace(), 0) && c.tensor(i).Type == c.tensor(i-1).Type && c.plan.halo(c.id(i)) == halo{}
}

// inPlace is the last operation's, but for what lies in the chain.
func (c *chain) inPlace() (inputs []int) {
	last := len(c.operators) - 1
	if c.overwrites(last) {
		return nil // its input is written where the output is to be
	}
	return slices.DeleteFunc(c.operators[last].inPlace(), func(in int) bool { return in == 0 })
}

// split is the number of rows that a thread computes without recomputing others'.
func (c *chain) split() (byRows bool, rows int) { return true, c.cost.chunk }

// rows is the most rows of an operation's output that a band needs, without halo below.
func (c *chain) rows(i int) int {
	rows := c.cost.height
	for j := len(c.operators) - 1; j > i; j-- {
		kh, _ := c.windows[j].Reach()
		rows = (rows-1)*c.windows[j].StrideH + kh
	}
	return rows
}

// bytes is the memory of an inner tensor's band; 0 where the next operation writes over it.
func (c *chain) bytes(i int) int {
	if c.overwrites(i + 1) {
		return 0
	}
	b := &c.plan.buffers[c.id(i)]
	return b.halves * (((c.rows(i)+b.halo.bottom)*b.rowBytes() + int8.ReadAhead + align - 1) / align * align)
}

// own is the words of scratch memory that the operations need for themselves.
func (c *chain) own() (words int) {
	for _, o := range c.operators {
		words = max(words, o.scratch())
	}
	return (words + align/8 - 1) / (align / 8) * (align / 8)
}

func (c *chain) scratch() int {
	words := c.own()
	for i := range len(c.operators) - 1 {
		words += c.bytes(i) / 8
	}
	return words
}

// band is the rows of an inner tensor that are in memory.
type band struct {
	*plane
	below *plane // that it lies below: the next operation writes over it; nil if it has memory of its own
	size  int    // of that memory
	end   int    // of the rows that are computed
}

func (c *chain) bind(s *Session) task {
	last := len(c.operators) - 1
	bands := make([]band, last)
	s.bands = map[tensor.ID]*plane{}
	for i := last - 1; i >= 0; i-- {
		b := &bands[i]
		b.plane, b.size = c.plan.newPlane(c.id(i)), c.bytes(i)
		s.bands[c.id(i)] = b.plane
		if c.overwrites(i + 1) {
			b.below = s.plane(c.id(i + 1))
			b.plane.lieBelow(b.below)
		}
	}
	tasks := make([]task, last+1)
	for i, o := range c.operators {
		tasks[i] = o.bind(s)
	}
	s.bands = nil
	parts, own := make([]int8.Part, last+1), c.own()
	return func(part int8.Part, scratch []int64) {
		begin(bands, cast[int8.Value](scratch[own:]))
		for y := part.Y0; y < part.Y1; y += c.cost.height {
			parts[last] = int8.Part{Y0: y, Y1: min(y+c.cost.height, part.Y1), C1: part.C1}
			for i := last - 1; i >= 0; i-- {
				parts[i] = bands[i].advance(&c.windows[i+1], parts[i+1])
			}
			for i, do := range tasks {
				if parts[i].Y0 < parts[i].Y1 && !s.closed.Load() {
					do(parts[i], scratch)
				}
			}
		}
	}
}

// lieBelow has a plane lie where another one does.
func (p *plane) lieBelow(o *plane) {
	p.data, p.low, p.halo, p.origin, p.row, p.pixel = o.data, o.low, o.halo, o.origin, o.row, o.pixel
}

// begin gives bands their memory, with nothing computed.
func begin(bands []band, memory []int8.Value) {
	for i := range bands {
		b := &bands[i]
		b.end = -b.halo.top
		if b.below != nil {
			continue
		}
		b.data = memory[:b.size]
		if b.zeroLow != nil {
			b.data, b.low = memory[:b.size/2], memory[b.size/2:b.size]
		}
		memory = memory[b.size:]
	}
}

// advance moves a band to the rows that the next operation, of that window, needs for
// those of part, and returns the rows that are to be computed for that.
func (b *band) advance(w *tensor.Window, part int8.Part) int8.Part {
	to := int8.Part{C1: b.shape.C}
	if part.Y0 >= part.Y1 {
		return to
	}
	kh, _ := w.Reach()
	first, end := max(part.Y0*w.StrideH-w.Top, -b.halo.top), (part.Y1-1)*w.StrideH-w.Top+kh
	if b.below != nil {
		b.lieBelow(b.below)
	} else {
		b.moveTo(first)
	}
	to.Y0, to.Y1 = max(b.end, first, 0), min(end, b.shape.H)
	b.end = max(b.end, to.Y1)
	return to
}

// moveTo makes a row the first one in memory, and keeps those from there on.
func (b *band) moveTo(origin int) {
	if end := b.end + b.padding(); origin < end {
		copy(b.data, b.data[(origin-b.origin)*b.row:(end-b.origin)*b.row])
		if b.low != nil {
			copy(b.low, b.low[(origin-b.origin)*b.row:(end-b.origin)*b.row])
		}
	}
	b.origin = origin
}

// padding is the rows of the halo that follow those that are computed.
func (b *band) padding() int {
	if b.end == b.shape.H {
		return b.halo.bottom
	}
	return 0
}
