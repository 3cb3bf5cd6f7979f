package quantize

import (
	"math"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// curve maps each value by a function of its own.
var curve = lookup(func(op models.Op) func(float64) float64 { return op.(models.Activation).Apply })

// relu and clip are those that nothing hosts.
var (
	relu = lookup(func(models.Op) func(float64) float64 { return func(x float64) float64 { return max(0, x) } })
	clip = lookup(func(op models.Op) func(float64) float64 {
		c := op.(models.Clip)
		return func(x float64) float64 { return max(float64(c.Min), min(float64(c.Max), x)) }
	})
)

// lookup is an operation that becomes a table, given its function.
func lookup(function func(op models.Op) func(x float64) float64) operation {
	return operation{ranged: true, function: function, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
		out, err := a.rangedOutput(i)
		if err != nil {
			return nil, out, err
		}
		f, op := function(a.units[i].Op), &int8.Lookup{Table: make([]int8.Value, 256)}
		for k := range op.Table {
			x := in.scale * float64(k-128-int(in.ZeroAt(0)))
			q := math.Floor(f(x)/out.scale+0.5) + float64(out.ZeroAt(0))
			op.Table[k] = int8.Value(max(math.MinInt8, min(math.MaxInt8, q)))
		}
		return op, out, nil
	}}
}

// Function is what a unit does to each value, nil where it is more than a function of
// one.
func (u *Unit) Function() func(x float64) float64 {
	if f := u.operation().function; f != nil {
		return f(u.Op)
	}
	return nil
}

// Behind is what happens to each value of a unit's output before anything else reads
// it, by float tensor: ranges are chosen for the error behind it. (Below -3, where
// HardSwish is 0, codes would be wasted.)
func Behind(units []Unit) map[tensor.ID]func(x float64) float64 {
	read := map[tensor.ID]int{}
	for _, u := range units {
		for _, in := range u.Inputs {
			read[in]++
		}
	}
	functions := map[tensor.ID]func(x float64) float64{}
	for i := range units {
		if in, f := units[i].Inputs[0], units[i].Function(); f != nil && in != tensor.Input && read[in] == 1 {
			functions[units[in.Node()].Output] = f
		}
	}
	return functions
}
