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
	describe: func(op int8.Op, d *layer) { d.Channels = op.(*int8.Lookup).Channel != nil },
	operation: func(d *layer) (int8.Op, error) {
		l := &int8.Lookup{}
		if d.Channels {
			l.Channel = []int32{}
		}
		return l, nil
	},
	arrays: func(op int8.Op) []array {
		l := op.(*int8.Lookup)
		if l.Channel == nil {
			return []array{{"table", []int{256}, &l.Table}}
		}
		return []array{{"table", nil, &l.Table}, {"channel", nil, &l.Channel}}
	},
}

var concatCodec = codec{
	describe:  func(int8.Op, *layer) {},
	operation: func(*layer) (int8.Op, error) { return int8.Concat{}, nil },
	arrays:    noArrays,
}
