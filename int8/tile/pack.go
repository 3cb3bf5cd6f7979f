package tile

import (
	"encoding/binary"
	"unsafe"

	"edgeclassify/int8"
)

// panel is the output channels of one tile, packed:
//
//	int32 bias[NR]
//	int32 multiplier[NR]
//	int8 weight[Runs][Steps][NR][KR]
//	int8 wide[Runs*Steps/WideSteps]: 1 where Micro.Wide says so
//
// or, with Micro.Fit, from the weights on:
//
//	int8 weight[Runs*Steps][NR][KR], in the order of bins; of steps in none, see parted
//	uint32 bins[orders]: see there
//	uint32 place[Runs*Steps]: see Conv.place
//
// The places of missing channels and of values behind the end of a run are
// zero.
type panel struct {
	number  int // of the layer's panels
	channel int // the first one
	lanes   int // channels that exist
	group   int
	wide    int // flags that are set
	data    []int8.Value
}

// align is the alignment of panels: a cache line.
const align = 64

// layout is the number of groups, the panels of each and the bytes of a panel.
func (c *Conv) layout() (groups, panels, size int) {
	m := c.micro
	weights := c.runs * c.steps * m.NR * m.KR
	size = 8*m.NR + weights + m.flags(c.runs*c.steps)
	if m.Fit != nil {
		size += binHeader + 4*c.runs*c.steps
	}
	size = ceil(size, align) * align
	return c.conv.Groups, ceil(c.conv.OutC/c.conv.Groups, m.NR), size
}

// pack makes the panels: they never cross a group, whose channels share their
// input.
func (c *Conv) pack(conv *int8.Conv, memory []int8.Value) {
	m, groupOut := c.micro, conv.OutC/conv.Groups
	groups, _, size := c.layout()
	var b *binner
	if m.Fit != nil {
		b = c.newBinner()
	}
	for g := range groups {
		for o := 0; o < groupOut; o += m.NR {
			p := panel{number: len(c.panels), channel: g*groupOut + o, lanes: min(m.NR, groupOut-o), group: g, data: memory[:size:size]}
			memory = memory[size:]
			c.fill(&p, conv, b)
			c.panels = append(c.panels, p)
		}
	}
}

func (c *Conv) fill(p *panel, conv *int8.Conv, b *binner) {
	m, run := c.micro, c.run
	words := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(p.data))), 2*m.NR)
	rows := make([][]int8.Value, m.NR) // by place; nil where no channel is
	for place := range rows {
		lane := place
		if m.Order != nil {
			lane = m.Order[place]
		}
		if lane >= p.lanes {
			continue
		}
		o := p.channel + lane
		rows[place] = conv.Weight[o*c.depth : (o+1)*c.depth]
		words[place] = conv.Bias[o]
		if m.Unsigned {
			words[place] -= 128 * sum(rows[place])
		}
		words[m.NR+place] = conv.Multiplier[o]
	}
	weights := p.data[8*m.NR:][:c.runs*c.steps*m.NR*m.KR]
	if b != nil {
		weights = b.values(p.lanes < m.NR)
	}
	for r := range c.runs {
		part := weights[r*c.steps*m.NR*m.KR:]
		for first := 0; first < run; first += block {
			for place, row := range rows {
				if row != nil {
					spread(part[first*m.NR+place*m.KR:], row[r*run+first:r*run+min(first+block, run)], m.KR, m.NR*m.KR)
				}
			}
		}
	}
	if b != nil {
		b.fill(p.data[8*m.NR:])
		return
	}
	p.wide = m.mark(weights, p.data[8*m.NR+len(weights):])
}

func (m *Micro) flags(steps int) int {
	if m.Wide == nil {
		return 0
	}
	return steps / m.WideSteps
}

// mark sets a flag for every WideSteps steps that need the slower sums, and
// counts them.
func (m *Micro) mark(weights, flags []int8.Value) int {
	if m.Wide == nil {
		return 0
	}
	count, size := 0, m.WideSteps*m.NR*m.KR
	for i := 0; len(weights) >= size; i++ {
		if m.Wide(weights[:size]) {
			flags[i] = 1
			count++
		}
		weights = weights[size:]
	}
	return count
}

// block is the values of a row that are packed before the next row's: what
// they spread over stays in the nearest cache meanwhile. It is a multiple of
// every KR.
const block = 64

// spread copies src to dst, depth values at every distance values.
func spread(dst, src []int8.Value, depth, distance int) {
	whole := len(src) / depth
	switch depth { // without calls to copy so few
	case 4:
		spreadWhole[[4]int8.Value](dst, src, whole, distance)
	case 8:
		spreadWhole[[8]int8.Value](dst, src, whole, distance)
	case 16:
		spreadWhole[[16]int8.Value](dst, src, whole, distance)
	default:
		for i := range whole {
			copy(dst[i*distance:], src[i*depth:][:depth])
		}
	}
	if rest := src[whole*depth:]; len(rest) > 0 {
		copy(dst[whole*distance:], rest)
	}
}

// spreadWhole copies so many times the values of a T.
func spreadWhole[T any](dst, src []int8.Value, count, distance int) {
	if count == 0 {
		return
	}
	size := int(unsafe.Sizeof(*new(T)))
	to, values := pointer(dst[:(count-1)*distance+size]), unsafe.Slice((*T)(pointer(src[:count*size])), count)
	for i := range values {
		*(*T)(unsafe.Add(to, i*distance)) = values[i]
	}
}

// sum wraps around, as the accumulator that it corrects does. Eight values at a time,
// each + 128, go into 16-bit lanes, which hold those of so many words.
func sum(row []int8.Value) int32 {
	const words = 128
	s := -128 * int32(len(row))
	for whole := unsafe.Slice((*[8]byte)(pointer(row)), len(row)/8); len(whole) > 0; {
		part := whole[:min(len(whole), words)]
		whole = whole[len(part):]
		var lanes uint64
		for i := range part {
			w := binary.LittleEndian.Uint64(part[i][:]) ^ signBit
			lanes += w&evenBytes + w>>8&evenBytes
		}
		for ; lanes > 0; lanes >>= 16 {
			s += int32(lanes & 0xffff)
		}
	}
	for _, w := range row[len(row)&^7:] {
		s += int32(w) + 128
	}
	return s
}
