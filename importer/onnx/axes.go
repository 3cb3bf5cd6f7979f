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

func size(letters string, s tensor.Shape) int {
	n := 1
	for _, letter := range letters {
		n *= extent(letter, s)
	}
	return n
}

// view is a tensor of the network as the file sees it.
type view struct {
	node *node
	axes axes
}

func (v *view) shape() tensor.Shape { return v.node.shape }

func (v *view) dims() []int {
	dims := make([]int, len(v.axes))
	for i, letters := range v.axes {
		dims[i] = size(letters, v.shape())
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
func (v *view) with(n *node) *view { return &view{n, v.axes.of(n.shape)} }

// broadcast is v with as many dimensions as that many, as NumPy adds them.
func (v *view) broadcast(rank int) *view {
	return &view{v.node, append(make(axes, max(0, rank-len(v.axes))), v.axes...)}
}

// reshape is the tensor with other dimensions.
func (v *view) reshape(dims []int) (*view, error) {
	letters := strings.Join(v.axes, "")
	if n, ok := elements(dims); !ok || n != size(letters, v.shape()) {
		return nil, fmt.Errorf("cannot give %v the dimensions %v", v.dims(), dims)
	}
	a := make(axes, len(dims))
	for i, d := range dims {
		for size(a[i], v.shape()) < d {
			a[i], letters = a[i]+letters[:1], letters[1:]
		}
		if size(a[i], v.shape()) != d {
			return nil, fmt.Errorf("splits the dimensions %v into %v: channel shuffles and patches have no form here", v.dims(), dims)
		}
	}
	return &view{v.node, a}, nil
}

// arranged is the tensor with its dimensions in another order; -1 adds one.
func (v *view) arranged(order []int) *view {
	a := make(axes, len(order))
	for i, from := range order {
		if from >= 0 {
			a[i] = v.axes[from]
		}
	}
	return &view{v.node, a}
}

// hwc is the order in which the values of a dimension lie in the network: nil if in
// its own.
func (v *view) hwc(letters string) []int {
	s := v.shape()
	order := make([]int, size(letters, s))
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
