package q8

import "edgeclassify/int8"

var addCodec = codec{
	describe: func(op int8.Op, d *layer) {
		a := op.(*int8.Add)
		d.RatioA, d.RatioB, d.Shift = a.RatioA, a.RatioB, a.Shift
	},
	operation: func(d *layer) (int8.Op, error) {
		return &int8.Add{RatioA: d.RatioA, RatioB: d.RatioB, Shift: d.Shift}, nil
	},
	arrays: noArrays,
}

var mulCodec = codec{
	describe: func(op int8.Op, d *layer) {
		m := op.(*int8.Mul)
		d.Multiplier, d.Shift = m.Multiplier, m.Shift
	},
	operation: func(d *layer) (int8.Op, error) { return &int8.Mul{Multiplier: d.Multiplier, Shift: d.Shift}, nil },
	arrays:    noArrays,
}

var lookupCodec = codec{
	describe:  func(int8.Op, *layer) {},
	operation: func(*layer) (int8.Op, error) { return &int8.Lookup{}, nil },
	arrays: func(op int8.Op) []array {
		return []array{{"table", []int{256}, &op.(*int8.Lookup).Table}}
	},
}

var concatCodec = codec{
	describe:  func(int8.Op, *layer) {},
	operation: func(*layer) (int8.Op, error) { return int8.Concat{}, nil },
	arrays:    noArrays,
}
