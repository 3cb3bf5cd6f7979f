package calibrate

import (
	"fmt"
	"slices"
	"strings"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/models"
)

// Methods beside the choice of ranges, as descriptions name them.
const (
	equalization  = "cross-layer equalization"
	weightScales  = "Hessian-weighted scales"
	rounding      = "Hessian-based rounding"
	biases        = "bias correction"
	biasesByLayer = "bias correction layer by layer"
)

// used is a method that may have been used.
type used struct {
	name string
	used bool
}

// join names those that were used.
func join(methods ...used) string {
	var names []string
	for _, m := range methods {
		if m.used {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, ", ")
}

// Describe names the methods that made a table.
func Describe(t *quantize.RangeTable) string {
	return join(
		used{string(t.Method), true},
		used{equalization, t.Equalization != nil},
		used{weightScales, t.Scales != nil},
		used{rounding, t.Steps != nil},
		used{biases, t.Means != nil},
		used{biasesByLayer, t.Shifts != nil},
		used{fmt.Sprintf("%d int16 outputs", len(t.Int16)), len(t.Int16) > 0},
	)
}

// DescribeLayers names the methods by which a table quantizes each layer with
// weights of the folded graph g.
func DescribeLayers(t *quantize.RangeTable, g *models.Graph) map[string]string {
	equalized := equalizedLayers(t, g)
	layers := map[string]string{}
	for _, n := range g.Nodes {
		if _, linear := n.Op.(models.Linear); !linear {
			continue
		}
		_, conv := n.Op.(*models.Conv)
		layers[n.Name] = join(
			used{string(t.Method), conv},
			used{equalization, equalized[n.Name]},
			used{weightScales, t.Scales[n.Name] != nil},
			used{rounding, t.Steps[n.Name] != nil},
			used{biases, t.Means != nil},
			used{biasesByLayer, t.Shifts[n.Name] != nil},
			used{"int16 output", slices.Contains(t.Int16, n.Name)},
		)
	}
	return layers
}

// equalizedLayers are those with an output that is scaled by channels.
func equalizedLayers(t *quantize.RangeTable, g *models.Graph) map[string]bool {
	layers := map[string]bool{}
	for _, group := range quantize.Groups(g) {
		if slices.ContainsFunc(t.Equalization[group.Name], func(e int) bool { return e != 0 }) {
			for _, layer := range group.Producers {
				layers[g.Nodes[layer].Name] = true
			}
		}
	}
	return layers
}
