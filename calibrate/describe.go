package calibrate

import (
	"fmt"
	"slices"
	"strings"

	"edgeclassify/models"
)

// Methods beside the choice of ranges, as descriptions name them.
const (
	equalization  = "equalization"
	weightScales  = "weight scales by second moments"
	rounding      = "rounding by second moments"
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
func Describe(t *RangeTable) string {
	return join(
		used{string(t.Method), true},
		used{equalization, t.Exponents != nil},
		used{weightScales, t.Scales != nil},
		used{rounding, t.Steps != nil},
		used{biases, t.Means != nil},
		used{biasesByLayer, t.Shifts != nil},
		used{fmt.Sprintf("%d int16 outputs", len(t.Wide)), len(t.Wide) > 0},
	)
}

// DescribeLayers names the methods by which a table quantizes each layer with
// weights of the folded graph g.
func DescribeLayers(t *RangeTable, g *models.Graph) (map[string]string, error) {
	equalized, err := equalizedLayers(t, g)
	if err != nil {
		return nil, err
	}
	layers := map[string]string{}
	for _, n := range g.Nodes {
		if !weighted(n.Op) {
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
			used{"int16 output", slices.Contains(t.Wide, n.Name)},
		)
	}
	return layers, nil
}

// equalizedLayers are those with an output that is scaled by channels.
func equalizedLayers(t *RangeTable, g *models.Graph) (map[string]bool, error) {
	groups, err := Groups(g)
	if err != nil {
		return nil, err
	}
	layers := map[string]bool{}
	for _, group := range groups {
		if slices.ContainsFunc(t.Exponents[group.Name], func(e int) bool { return e != 0 }) {
			for _, layer := range group.Producers {
				layers[layer] = true
			}
		}
	}
	return layers, nil
}
