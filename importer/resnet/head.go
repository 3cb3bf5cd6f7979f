package resnet

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// layer is a module of the classifier: fully connected, or a normalization.
type layer struct {
	name    string
	parent  string // the name's part before the index
	index   int    // in a Sequential; -1 without one
	in, out int
	norm    bool
}

var indexed = regexp.MustCompile(`^(|.*\.)(\d+)$`)

// layers are the modules outside of the backbone, in the order in which people
// read their names: 2 before 10.
func (n *named) layers() (list []layer) {
	for name, a := range n.arrays {
		module, ok := strings.CutSuffix(name, ".weight")
		if !ok || backbone.MatchString(name) {
			continue
		}
		l := layer{name: module, index: -1}
		stored := strings.TrimSuffix(n.file[name], ".weight")
		if m := indexed.FindStringSubmatch(stored); m != nil {
			l.parent = m[1]
			l.index, _ = strconv.Atoi(m[2])
		} else {
			l.parent = stored[:strings.LastIndex(stored, ".")+1]
		}
		switch s := a.Shape; {
		case len(s) == 1 && n.has(module+".running_mean"):
			l.norm, l.in, l.out = true, s[0], s[0]
		case len(s) == 2, len(s) == 4 && s[2] == 1 && s[3] == 1:
			l.in, l.out = s[1], s[0]
		default:
			continue
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b layer) int {
		return cmp.Or(cmp.Compare(a.parent, b.parent), cmp.Compare(a.index, b.index), cmp.Compare(a.name, b.name))
	})
	return list
}

// chain puts layers one behind the other so that each takes what the one before
// gives.
func chain(list []layer, channels int) (ordered []layer) {
	list = slices.Clone(list)
	for {
		i := slices.IndexFunc(list, func(l layer) bool { return l.in == channels })
		if i < 0 {
			return ordered
		}
		ordered, channels = append(ordered, list[i]), list[i].out
		list = slices.Delete(list, i, i+1)
	}
}

// maxLayers is far above what classifiers have.
const maxLayers = 64

// head adds the classifier behind a pooling of the last plane and returns the
// number of classes.
func (b *builder) head(x string, channels int) (classes int) {
	if b.err != nil {
		return 0
	}
	list := b.layers()
	if len(list) > maxLayers {
		b.err = fmt.Errorf("%d layers stand beside the stages, expected a classifier of at most %d", len(list), maxLayers)
		return 0
	}
	layers := chain(list, channels)
	plane := b.shape
	pooled := b.add("avgpool", models.GlobalAveragePool{}, x)
	if twice := chain(list, 2*channels); len(twice) > len(layers) && twice[0].norm {
		// fastai: the maxima before the averages, then a normalization.
		layers = twice
		most := b.add("maxpool2", &models.MaxPool{Window: tensor.Window{KH: plane.H, KW: plane.W, StrideH: 1, StrideW: 1}}, x)
		pooled = b.add("concat", models.Concat{}, most, pooled)
	}
	dense := slices.DeleteFunc(slices.Clone(layers), func(l layer) bool { return l.norm })
	if len(dense) == 0 || layers[len(layers)-1].norm {
		b.err = fmt.Errorf("no classifier: want a fully connected layer over %d values", channels)
		return 0
	}
	for _, l := range layers {
		if len(dense) > 1 && l.parent != layers[0].parent {
			b.err = fmt.Errorf("the classifier has the layers %s and %s, and names do not tell what is between: export the network with torch.onnx.export",
				b.describe(layers[0]), b.describe(l))
			return 0
		}
	}
	b.mlp(pooled, layers)
	return layers[len(layers)-1].out
}

func (b *builder) describe(l layer) string {
	return fmt.Sprintf("%s %v", b.file[l.name+".weight"], b.named.shape(l.name+".weight"))
}

// mlp adds layers and, where the numbers of modules in a Sequential leave a gap
// behind a fully connected one, the activation that must be there. Without
// numbers it stands before the next fully connected layer.
func (b *builder) mlp(x string, layers []layer) {
	linear := "" // the last fully connected layer while no activation has followed it
	for i, l := range layers {
		gap := i > 0 && (l.index > layers[i-1].index+1 || l.index < 0 && !l.norm)
		if gap && linear != "" {
			b.notes = append(b.notes, fmt.Sprintf("%s and %s are taken to have a ReLU between them: names do not tell activations.", b.file[linear+".weight"], b.file[l.name+".weight"]))
			x = b.add(linear+".relu", models.ReLU{}, x)
			linear = ""
		}
		if l.norm {
			x = b.norm(l.name, x, l.in)
			continue
		}
		x = b.dense(l, x)
		linear = l.name
	}
}

func (b *builder) dense(l layer, x string) string {
	d := &models.Dense{In: l.in, Out: l.out}
	d.Weight = b.tensor(l.name+".weight", b.named.shape(l.name+".weight"))
	if b.has(l.name + ".bias") {
		d.Bias = b.tensor(l.name+".bias", []int{l.out})
	}
	return b.add(l.name, d, x)
}
