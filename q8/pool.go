package q8

import "edgeclassify/int8"

func noArrays(int8.Op) []array { return nil }

var maxPoolCodec = codec{
	describe: func(op int8.Op, d *layer) { d.Window = &op.(*int8.MaxPool).Window },
	operation: func(d *layer) (int8.Op, error) {
		return &int8.MaxPool{Window: *d.Window}, nil
	},
	arrays: noArrays,
}

var averagePoolCodec = codec{
	describe: func(op int8.Op, d *layer) {
		p := op.(*int8.AveragePool)
		d.Window, d.CountPad = &p.Window, p.CountPad
	},
	operation: func(d *layer) (int8.Op, error) {
		return &int8.AveragePool{Window: *d.Window, CountPad: d.CountPad}, nil
	},
	arrays: noArrays,
}

var meanCodec = codec{
	describe: func(op int8.Op, d *layer) {
		m := op.(*int8.Mean)
		d.Multiplier, d.Shift = m.Multiplier, m.Shift
	},
	operation: func(d *layer) (int8.Op, error) { return &int8.Mean{Multiplier: d.Multiplier, Shift: d.Shift}, nil },
	arrays:    noArrays,
}

var globalAveragePoolCodec = codec{
	describe:  func(int8.Op, *layer) {},
	operation: func(*layer) (int8.Op, error) { return int8.GlobalAveragePool{}, nil },
	arrays:    noArrays,
}
