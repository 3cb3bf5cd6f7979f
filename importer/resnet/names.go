package resnet

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/importer/weights"
)

// dialect is a way of naming a residual network's tensors.
type dialect struct {
	// key is a name that every network of the dialect has.
	key string
	// rename turns a name into torchvision's.
	rename func(name string) string
}

var dialects = []dialect{
	// torchvision's and timm's; some call the projection shortcut.
	{"layer1.0.conv1.weight", func(name string) string { return strings.Replace(name, ".shortcut.", ".downsample.", 1) }},
	// transformers'
	{"embedder.embedder.convolution.weight", fromTransformers},
	// the children of torchvision's network in a Sequential, as feature extractors
	// and fastai have them
	{"4.0.conv1.weight", fromSequential},
}

var (
	transformersLayer = regexp.MustCompile(`^encoder\.stages\.(\d+)\.layers\.(\d+)\.(layer\.(\d+)|shortcut)\.(convolution|normalization)\.`)
	sequentialChild   = regexp.MustCompile(`^([0-7])\.`)
	// backbone are torchvision's and timm's names of all but the classifier.
	backbone = regexp.MustCompile(`^(conv1|bn1|maxpool|layer\d+)\.`)
)

func fromTransformers(name string) string {
	kinds := map[string]string{"convolution": "conv", "normalization": "bn"}
	for kind, to := range kinds {
		if rest, ok := strings.CutPrefix(name, "embedder.embedder."+kind+"."); ok {
			return to + "1." + rest
		}
	}
	m := transformersLayer.FindStringSubmatch(name)
	if m == nil {
		return name
	}
	place := "downsample." + map[string]string{"convolution": "0", "normalization": "1"}[m[5]]
	if m[4] != "" {
		place = kinds[m[5]] + next(m[4])
	}
	return fmt.Sprintf("layer%s.%s.%s.%s", next(m[1]), m[2], place, name[len(m[0]):])
}

// next is the number after a decimal one.
func next(number string) string {
	n, _ := strconv.Atoi(number)
	return strconv.Itoa(n + 1)
}

func fromSequential(name string) string {
	return sequentialChild.ReplaceAllStringFunc(name, func(child string) string {
		return [...]string{"conv1.", "bn1.", "relu.", "maxpool.", "layer1.", "layer2.", "layer3.", "layer4."}[child[0]-'0']
	})
}

// named are the tensors of a network under torchvision's names.
type named struct {
	arrays map[string]weights.Array
	file   map[string]string // torchvision's name to the file's
}

// find recognizes a residual network by a name in it, which may stand behind any
// prefix. It returns nil where there is none.
func find(arrays map[string]weights.Array) (*named, error) {
	for _, d := range dialects {
		var prefixes []string
		for name := range arrays {
			if p, ok := strings.CutSuffix(name, d.key); ok && (p == "" || strings.HasSuffix(p, ".")) {
				prefixes = append(prefixes, p)
			}
		}
		if len(prefixes) > 1 {
			slices.Sort(prefixes)
			return nil, fmt.Errorf("holds several networks, under %q: save the one to be used alone", prefixes)
		}
		if len(prefixes) == 1 {
			return rename(arrays, prefixes[0], d.rename)
		}
	}
	return nil, nil
}

func rename(arrays map[string]weights.Array, prefix string, f func(string) string) (*named, error) {
	n := &named{map[string]weights.Array{}, map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		to := name
		if inside, ok := strings.CutPrefix(name, prefix); ok {
			to = f(inside)
		} else if backbone.MatchString(name) {
			to = "head." + name // a head's own conv1 or bn1
		}
		if other, taken := n.file[to]; taken {
			return nil, fmt.Errorf("tensors %q and %q have one place", other, name)
		}
		n.arrays[to], n.file[to] = arrays[name], name
	}
	return n, nil
}

// shape is that of a tensor, nil where there is none.
func (n *named) shape(name string) []int { return n.arrays[name].Shape }

func (n *named) has(name string) bool {
	_, ok := n.arrays[name]
	return ok
}
