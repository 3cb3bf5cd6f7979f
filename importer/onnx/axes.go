package onnx

import (
	"fmt"
	"slices"
	"strings"

	"edgeclassify/tensor"
)

// axes tell what the dimensions of a tensor in the file are in the network: each
// is made of the letters of H, W and C in their order, so that ["" C H W] is NCHW
// and ["" CHW] a flattened NCHW tensor. Letters of size 1 are left out.
//
// Where channels are split, as to shuffle them, letters a, b, ... are their parts, the
// most significant first: ["" a b H W] of [1 C H W]. Sizes of parts are the view's.
type axes []string

var nchw, nhwc = axes{"", "C", "H", "W"}, axes{"", "H", "W", "C"}

// of is a for a tensor of that shape: letters of size 1 are left out.
func (a axes) of(s tensor.Shape) axes {
	out := make(axes, len(a))
	for i, letters := range a {
		out[i] = strings.Map(func(letter rune) rune {
			if extent(letter, s) == 1 {
				return -1
			}
			return letter
		}, letters)
	}
	return out
}

func extent(letter rune, s tensor.Shape) int {
	return map[rune]int{'H': s.H, 'W': s.W, 'C': s.C}[letter]
}

// view is a tensor of the network as the file sees it.
type view struct {
	node  *node
	axes  axes
	parts []int // of split channels
}

func (v *view) shape() tensor.Shape { return v.node.shape }

func (v *view) extent(letter rune) int {
	if i := int(letter - 'a'); i >= 0 {
		return v.parts[i]
	}
	return extent(letter, v.shape())
}

func (v *view) size(letters string) int {
	n := 1
	for _, letter := range letters {
		n *= v.extent(letter)
	}
	return n
}

func (v *view) dims() []int {
	dims := make([]int, len(v.axes))
	for i, letters := range v.axes {
		dims[i] = v.size(letters)
	}
	return dims
}

// is tells whether the tensor lies so.
func (v *view) is(a axes) bool { return slices.Equal(v.axes, a.of(v.shape())) }

// plane is an error unless the tensor lies as convolutions want it.
func (v *view) plane() error {
	if !v.is(nchw) {
		return fmt.Errorf("reads a tensor of dimensions %q of the picture's, want batch, channels, height, width", v.axes)
	}
	return nil
}

// with is another tensor in the same order, less what has become 1.
func (v *view) with(n *node) *view { return &view{node: n, axes: v.axes.of(n.shape)} }

// broadcast is v with as many dimensions as that many, as NumPy adds them.
func (v *view) broadcast(rank int) *view {
	return &view{v.node, append(make(axes, max(0, rank-len(v.axes))), v.axes...), v.parts}
}

// reshape is the tensor with other dimensions.
func (v *view) reshape(dims []int) (*view, error) {
	from, letters := v.dims(), strings.Join(v.axes, "")
	if n, ok := elements(dims); !ok || n != v.size(letters) {
		return nil, fmt.Errorf("cannot give %v the dimensions %v", from, dims)
	}
	out := &view{v.node, make(axes, len(dims)), v.parts}
	for i, d := range dims {
		for out.size(out.axes[i]) < d {
			if more := d / out.size(out.axes[i]); out.extent(rune(letters[0])) > more {
				if letters = out.split(letters, more); letters == "" {
					return nil, fmt.Errorf("splits the dimensions %v into %v: only channels can be split, patches have no form here", from, dims)
				}
			}
			out.axes[i], letters = out.axes[i]+letters[:1], letters[1:]
		}
	}
	out.joinParts()
	return out, nil
}

// maxParts of channels have letters.
const maxParts = 26

// split splits the first of the letters, which are still to come: its first part has n
// values. It returns the letters from then on; none where that cannot be.
func (v *view) split(letters string, n int) string {
	if letters[0] == 'C' {
		v.parts, letters = []int{v.shape().C}, "a"+letters[1:]
	}
	i := int(letters[0]) - 'a'
	if i < 0 || n < 2 || v.parts[i]%n != 0 || len(v.parts) == maxParts {
		return ""
	}
	v.parts = slices.Concat(v.parts[:i], []int{n, v.parts[i] / n}, v.parts[i+1:])
	behind := func(letter rune) rune {
		if letter > rune('a'+i) {
			return letter + 1
		}
		return letter
	}
	v.rename(behind)
	return letters[:1] + string(rune('a'+i+1)) + strings.Map(behind, letters[1:])
}

func (v *view) rename(f func(letter rune) rune) {
	v.axes = slices.Clone(v.axes)
	for d := range v.axes {
		v.axes[d] = strings.Map(f, v.axes[d])
	}
}

// joinParts makes one of parts that lie in a dimension as they do in the network, and
// of all of them channels.
func (v *view) joinParts() {
	for i := 0; i+1 < len(v.parts); i++ {
		if both := string(rune('a'+i)) + string(rune('a'+i+1)); strings.Contains(strings.Join(v.axes, " "), both) {
			v.parts = slices.Concat(v.parts[:i], []int{v.parts[i] * v.parts[i+1]}, v.parts[i+2:])
			v.dropPart(i + 1)
			i = -1
		}
	}
	if len(v.parts) == 1 {
		v.parts = nil
		v.rename(func(letter rune) rune {
			if letter == 'a' {
				return 'C'
			}
			return letter
		})
	}
}

// dropPart takes a part's letter out.
func (v *view) dropPart(i int) {
	v.rename(func(letter rune) rune {
		switch at := rune('a' + i); {
		case letter == at:
			return -1
		case letter > at:
			return letter - 1
		}
		return letter
	})
}

// shuffled is the order of channels in which a dimension has all of their parts, and the
// tensor's axes once they lie so; nil if there is none.
func (v *view) shuffled() (indices []int, a axes) {
	for d, letters := range v.axes {
		at := strings.IndexFunc(letters, func(letter rune) bool { return letter >= 'a' })
		if at < 0 || len(letters) < at+len(v.parts) {
			continue
		}
		parts := letters[at:][:len(v.parts)]
		if strings.ContainsFunc(parts, func(letter rune) bool { return letter < 'a' }) {
			continue
		}
		a = slices.Clone(v.axes)
		a[d] = letters[:at] + "C" + letters[at+len(parts):]
		return v.channels(parts, nil), a
	}
	return nil, nil
}

// channels are those of the network that parts in that order are; where some of a part's
// places are given, by its number, of these alone.
func (v *view) channels(parts string, places map[int][]int) (indices []int) {
	strides, n := make([]int, len(v.parts)), 1
	for i := range slices.Backward(v.parts) {
		strides[i], n = n, n*v.parts[i]
	}
	indices = []int{0}
	for _, letter := range parts {
		i := int(letter - 'a')
		chosen, given := places[i]
		if !given {
			chosen = counted(0, v.parts[i], 1)
		}
		var longer []int
		for _, first := range indices {
			for _, place := range chosen {
				longer = append(longer, first+place*strides[i])
			}
		}
		indices = longer
	}
	return indices
}

// counted are n integers.
func counted(start, n, step int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = start + i*step
	}
	return out
}

// arranged is the tensor with its dimensions in another order; -1 adds one.
func (v *view) arranged(order []int) *view {
	a := make(axes, len(order))
	for i, from := range order {
		if from >= 0 {
			a[i] = v.axes[from]
		}
	}
	return &view{v.node, a, v.parts}
}

// hwc is the order in which the values of a dimension lie in the network: nil if in
// its own.
func (v *view) hwc(letters string) []int {
	s := v.shape()
	order := make([]int, v.size(letters))
	sorted := true
	for i := range order {
		at, rest := map[byte]int{}, i
		for l := len(letters) - 1; l >= 0; l-- {
			n := extent(rune(letters[l]), s)
			at[letters[l]], rest = rest%n, rest/n
		}
		order[i] = (at['H']*s.W+at['W'])*s.C + at['C']
		sorted = sorted && order[i] == i
	}
	if sorted {
		return nil
	}
	return order
}
