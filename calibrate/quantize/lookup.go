package quantize

import (
	"math"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// curve maps each value by a function of its own.
var curve = lookup(func(op models.Op) func(float64) float64 { return op.(models.Activation).Func() })

// channelCurve has functions of the channels.
var channelCurve = tables(func(op models.Op) []func(float64) float64 {
	a := op.(*models.ChannelActivation)
	functions := make([]func(float64) float64, max(len(a.In), len(a.Out), len(a.Slopes)))
	for c := range functions {
		functions[c] = a.Func(c)
	}
	return functions
})

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
	return tables(func(op models.Op) []func(x float64) float64 { return []func(float64) float64{function(op)} })
}

// tables is an operation that becomes a table for all channels, or one for each: equal
// ones are stored once.
func tables(functions func(op models.Op) []func(x float64) float64) operation {
	return operation{ranged: true, functions: functions, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
		out, err := a.rangedOutput(i)
		if err != nil {
			return nil, out, err
		}
		all := functions(a.units[i].Op)
		made := make([][256]int8.Value, len(all))
		Parallel(len(all), func(c int) { made[c] = table(all[c], in, out) })
		op, places := &int8.Lookup{}, map[[256]int8.Value]int32{}
		for _, t := range made {
			at, known := places[t]
			if !known {
				at = int32(len(places))
				places[t] = at
				op.Table = append(op.Table, t[:]...)
			}
			op.Channel = append(op.Channel, at)
		}
		if len(places) == 1 {
			op.Channel = nil
		}
		return op, out, nil
	}}
}

// table is that of a function between two tensors.
func table(f func(x float64) float64, in, out activation) (t [256]int8.Value) {
	for k := range t {
		x := in.scale * float64(k-128-int(in.ZeroAt(0)))
		q := math.Floor(f(x)/out.scale+0.5) + float64(out.ZeroAt(0))
		t[k] = int8.Value(max(math.MinInt8, min(math.MaxInt8, q)))
	}
	return t
}

// Functions are what a unit does to each value, one for all channels or one for each; nil
// where it is more than a function of one value.
func (u *Unit) Functions() []func(x float64) float64 {
	if f := u.operation().functions; f != nil {
		return f(u.Op)
	}
	return nil
}

// Behind is what happens to each value of a unit's output before anything else reads
// it, where that is the same in all channels, by float tensor: ranges are chosen for the
// error behind it. (Below -3, where HardSwish is 0, codes would be wasted.)
func Behind(units []Unit) map[tensor.ID]func(x float64) float64 {
	read := map[tensor.ID]int{}
	for _, u := range units {
		for _, in := range u.Inputs {
			read[in]++
		}
	}
	functions := map[tensor.ID]func(x float64) float64{}
	for i := range units {
		if in, f := units[i].Inputs[0], units[i].Functions(); len(f) == 1 && in != tensor.Input && read[in] == 1 {
			functions[units[in.Node()].Output] = f[0]
		}
	}
	return functions
}
