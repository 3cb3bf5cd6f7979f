package tile

import (
	"math/bits"
	"unsafe"

	"edgeclassify/int8"
)

// Some CPUs multiply unsigned by signed bytes and add two products in a 16-bit
// lane, which saturates. That is exact where a lane's positive weights add up to
// at most BinRoom, and its negative ones too: 255*127 fits. Most steps are such, and
// mostly some of them together, so that their lanes are added up before they are
// widened to 32 bits, once. Integers may be summed in any order: a panel's steps
// go into bins that have room for them. (First fit with few open bins: Csirik,
// Johnson: Bounded Space On-Line Bin Packing, 2001.)
const (
	binSteps  = 3  // of a full bin
	openBins  = 12 // that a step is tried in
	stepBytes = 64 // of the weights of a step
	laneWords = stepBytes / 8
)

// binHeader is the bytes of the numbers of bins: of 3 steps, of 2 and of 1, and of
// steps in none, which are widened before they are multiplied.
const binHeader = 4 * (binSteps + 1)

const (
	signBit   = 0x8080808080808080
	evenBytes = 0x00ff00ff00ff00ff
)

// bin is up to binSteps steps, by number.
type bin struct {
	steps [binSteps]int32
	n     int
	sum   int // of all lanes
}

// binner puts the steps of panels into bins, one panel after the other.
type binner struct {
	steps [][laneWords]uint64   // weights
	place []uint32              // of each step: see Conv.place
	order [binSteps + 1][]int32 // steps in bins of 3, of 2, of 1, and of none
	fit   func(step, rooms unsafe.Pointer, open int) (bin, sum int)
	open  []bin
	rooms [openBins + 1][stepBytes]byte // of open bins and of another one
}

// values are the weights of a panel, to be written: all of its channels, and nothing
// behind the end of runs, which stays zero. Those of missing channels are made zero.
func (b *binner) values(missing bool) []int8.Value {
	if missing {
		clear(b.steps)
	}
	return unsafe.Slice((*int8.Value)(unsafe.Pointer(unsafe.SliceData(b.steps))), len(b.steps)*stepBytes)
}

// fill writes a panel behind its multipliers.
func (b *binner) fill(dst []int8.Value) {
	b.sort()
	steps := unsafe.Slice((*[laneWords]uint64)(unsafe.Pointer(unsafe.SliceData(dst))), len(b.steps))
	words := unsafe.Slice((*uint32)(unsafe.Pointer(&dst[len(b.steps)*stepBytes])), binSteps+1+len(b.steps))
	places := words[binSteps+1:]
	for i, order := range b.order {
		words[i] = uint32(len(order) / max(binSteps-i, 1))
		for j, step := range order {
			steps[j], places[j] = b.steps[step], b.place[step]
			if i == binSteps {
				steps[j] = parted(steps[j])
			}
		}
		steps, places = steps[len(order):], places[len(order):]
	}
}

// parted has the even bytes of a step before the odd ones: once widened, they are
// multiplied apart.
func parted(step [laneWords]uint64) (p [laneWords]uint64) {
	for i := range laneWords / 2 {
		a, b := step[2*i], step[2*i+1]
		p[i] = even(a) | even(b)<<32
		p[laneWords/2+i] = even(a>>8) | even(b>>8)<<32
	}
	return p
}

// even brings the even bytes of a word together.
func even(w uint64) uint64 {
	w &= evenBytes
	w = (w | w>>8) & 0x0000ffff0000ffff
	return (w | w>>16) & 0x00000000ffffffff
}

// close moves the last open bin to the place of one that takes no more.
func (b *binner) close(i int) {
	k := &b.order[binSteps-b.open[i].n]
	*k = append(*k, b.open[i].steps[:b.open[i].n]...)
	last := len(b.open) - 1
	b.open[i], b.rooms[i] = b.open[last], b.rooms[last]
	b.open = b.open[:last]
}

// sort puts all steps into order.
func (b *binner) sort() {
	for i := range b.order {
		b.order[i] = b.order[i][:0]
	}
	for step := range b.steps {
		b.add(int32(step))
	}
	for len(b.open) > 0 {
		b.close(0)
	}
}

// add puts a step into the first bin that has room, or else into another one. With
// too many open, the fullest is closed.
func (b *binner) add(step int32) {
	i, sum := b.fit(unsafe.Pointer(&b.steps[step]), unsafe.Pointer(&b.rooms), len(b.open))
	if i < 0 {
		b.order[binSteps] = append(b.order[binSteps], step)
		return
	}
	if i == openBins {
		b.close(b.fullest())
		i = len(b.open)
		b.rooms[i] = b.rooms[openBins]
	}
	if i == len(b.open) {
		b.open = append(b.open, bin{})
	}
	open := &b.open[i]
	open.steps[open.n] = step
	open.n, open.sum = open.n+1, open.sum+sum
	if open.n == binSteps {
		b.close(i)
	}
}

func (b *binner) fullest() (fullest int) {
	for i := range b.open {
		if b.open[i].sum > b.open[fullest].sum {
			fullest = i
		}
	}
	return fullest
}

// newBinner is for the layer's panels.
func (c *Conv) newBinner() *binner {
	n := c.runs * c.steps
	b := &binner{fit: c.micro.Fit, steps: make([][laneWords]uint64, n), place: make([]uint32, n)}
	for i := range b.place {
		b.place[i] = c.place(i)
	}
	return b
}

// place is where a step lies in a window: its row, above rowShift bits for the bytes
// from the row's start. Networks of int8.NewNetwork have both in 32 bits.
func (c *Conv) place(step int) uint32 {
	return uint32(step/c.steps)<<c.rowShift() | uint32(step%c.steps*c.micro.KR)
}

func (c *Conv) rowShift() int { return bits.Len(uint(c.steps*c.micro.KR - 1)) }

// places are those of a panel's steps, in the order of bins.
func (c *Conv) places(p *panel) []uint32 {
	n := c.runs * c.steps
	first := 8*c.micro.NR + n*stepBytes + binHeader
	return unsafe.Slice((*uint32)(unsafe.Pointer(&p.data[first])), n)
}

// offsets is the number of offsets that scratch is to hold: with one row in a
// window, places are offsets.
func (c *Conv) offsets() int {
	if c.micro.Fit == nil || c.runs == 1 {
		return 0
	}
	groups, panels, _ := c.layout()
	return groups * panels * c.runs * c.steps
}

// setOffsets fills the scratch of the part's panels.
func (w *work) setOffsets() {
	if len(w.offsets) == 0 {
		return
	}
	shift, row := w.rowShift()&31, uint32(w.source.run)
	for i := range w.panels {
		offsets := w.offsetsOf(&w.panels[i])
		for j, place := range w.places(&w.panels[i]) {
			offsets[j] = place>>shift*row + place&(1<<shift-1)
		}
	}
}

// offsetsOf is the bytes from a window to each step of a panel.
func (w *work) offsetsOf(p *panel) []uint32 {
	if len(w.offsets) == 0 {
		return w.places(p)
	}
	n := w.runs * w.steps
	return w.offsets[p.number*n:][:n]
}
