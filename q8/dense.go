package q8

import "edgeclassify/int8"

var denseCodec = codec{
	describe: func(op int8.Op, d *layer) {
		dense := op.(*int8.Dense)
		d.InChannels, d.OutChannels = dense.In, dense.Out
	},
	operation: func(d *layer) (int8.Op, error) {
		return &int8.Dense{In: d.InChannels, Out: d.OutChannels}, nil
	},
	arrays: func(op int8.Op) []array {
		d := op.(*int8.Dense)
		return []array{
			{"weight", []int{d.Out, d.In}, &d.Weight},
			{"bias", []int{d.Out}, &d.Bias},
			{"scale", []int{d.Out}, &d.Scale},
		}
	},
}
