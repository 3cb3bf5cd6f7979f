package quantize

import (
	"reflect"

	"edgeclassify/int8"
	"edgeclassify/models"
)

// recipe is all that an integer layer is made of beside its unit.
type recipe struct {
	inputs        []activation
	ranges        []Range // of the table, for the output
	fraction      int
	corrected     bool // by means
	means, shifts PerChannel
	scales        PerChannel
	steps         Steps
}

func (a *attempt) recipe(i int) (r recipe) {
	u, t := &a.units[i], a.table
	for _, in := range u.Inputs {
		r.inputs = append(r.inputs, a.tensors[in])
	}
	for _, name := range u.ranges {
		r.ranges = append(r.ranges, t.Ranges[name])
	}
	r.fraction = a.fractions[i]
	if _, linear := u.Op.(models.Linear); linear {
		r.corrected, r.means = t.Means != nil, t.Means[a.inputName(u)]
		r.shifts, r.scales, r.steps = t.Shifts[u.Name], t.Scales[u.Name], t.Steps[u.Name]
	}
	return r
}

// made is a layer by a recipe.
type made struct {
	recipe
	op  int8.Op
	out activation
}

// recipesKept for each unit: those of the best network of a search and of the last ones
// beside it.
const recipesKept = 4

// layer makes that of unit i. What was made by the same recipe lately is made no more:
// networks have such operations in common.
func (a *attempt) layer(i int) (int8.Op, activation, error) {
	u, r, kept := &a.units[i], a.recipe(i), &a.made[i]
	for k, m := range *kept {
		if reflect.DeepEqual(m.recipe, r) {
			copy((*kept)[1:], (*kept)[:k])
			(*kept)[0] = m
			return m.op, m.out, nil
		}
	}
	op, out, err := u.operation().layer(a, i, a.tensors[u.Inputs[0]])
	if err != nil {
		return nil, out, err
	}
	*kept = append([]made{{r, op, out}}, (*kept)[:min(len(*kept), recipesKept-1)]...)
	return op, out, nil
}
