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
// go into bins that have room for them. A step that no bin can hold is tried with the
// second and the third of each channel's four values crossed. (First fit with few open bins: Csirik,
// Johnson: Bounded Space On-Line Bin Packing, 2001.)
const (
	binSteps  = 3  // of a full bin
	openBins  = 12 // that a step is tried in
	stepBytes = 64 // of the weights of a step
	laneWords = stepBytes / 8
)

// orders are the kinds of steps: in bins of 3 steps, of 2 and of 1, the same crossed,
// and in none, which are widened before they are multiplied.
const orders = 2*binSteps + 1

// binHeader is the bytes of the numbers of bins of each kind, and of steps in none.
const binHeader = 4 * orders

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
	steps [][laneWords]uint64 // weights
	place []uint32            // of each step: see Conv.place
	order [orders][]int32     // steps of each kind
	first int                 // of the kinds of open bins
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
	words := unsafe.Slice((*uint32)(unsafe.Pointer(&dst[len(b.steps)*stepBytes])), orders+len(b.steps))
	places := words[orders:]
	for i, order := range b.order {
		words[i] = uint32(len(order))
		if i < orders-1 {
			words[i] /= uint32(binSteps - i%binSteps)
		}
		for j, step := range order {
			steps[j], places[j] = b.steps[step], b.place[step]
			if i == orders-1 {
				steps[j] = parted(steps[j])
			} else if i >= binSteps {
				steps[j] = crossed(steps[j])
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
	k := &b.order[b.first+binSteps-b.open[i].n]
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
	none := &b.order[orders-1]
	b.first = 0
	for step := range b.steps {
		if !b.add(int32(step)) {
			*none = append(*none, int32(step))
		}
	}
	b.closeAll()
	b.first = binSteps
	rest := *none
	*none = rest[:0]
	for _, step := range rest {
		b.steps[step] = crossed(b.steps[step])
		if !b.add(step) {
			*none = append(*none, step)
		}
		b.steps[step] = crossed(b.steps[step]) // what lies behind the end of runs is to stay zero
	}
	b.closeAll()
}

func (b *binner) closeAll() {
	for len(b.open) > 0 {
		b.close(0)
	}
}

// crossed has the second and the third of each four bytes in each other's place.
func crossed(step [laneWords]uint64) [laneWords]uint64 {
	for i, w := range step {
		step[i] = w&0xff0000ffff0000ff | w<<8&0x00ff000000ff0000 | w>>8&0x0000ff000000ff00
	}
	return step
}

// add puts a step into the first bin that has room, or else into another one, unless
// none can hold it. With too many open, the fullest is closed.
func (b *binner) add(step int32) bool {
	i, sum := b.fit(unsafe.Pointer(&b.steps[step]), unsafe.Pointer(&b.rooms), len(b.open))
	if i < 0 {
		return false
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
	return true
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
