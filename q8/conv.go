package q8

import (
	"fmt"

	"edgeclassify/int8"
)

var convCodec = codec{
	describe: func(op int8.Op, d *layer) {
		c := op.(*int8.Conv)
		d.Window, d.Groups, d.InChannels, d.OutChannels = &c.Window, c.Groups, c.InC, c.OutC
		d.Shift, d.Residual, d.ResidualShift = c.Shift, c.Residual, c.ResidualShift
	},
	operation: func(d *layer) (int8.Op, error) {
		if d.Groups < 1 {
			return nil, fmt.Errorf("%d groups, want at least 1", d.Groups)
		}
		return &int8.Conv{Window: *d.Window, Groups: d.Groups, InC: d.InChannels, OutC: d.OutChannels,
			Shift: d.Shift, Residual: d.Residual, ResidualShift: d.ResidualShift}, nil
	},
	arrays: func(op int8.Op) []array {
		c := op.(*int8.Conv)
		return []array{
			{"weight", []int{c.OutC, c.KH, c.KW, c.InC / c.Groups}, &c.Weight},
			{"bias", []int{c.OutC}, &c.Bias},
			{"multiplier", []int{c.OutC}, &c.Multiplier},
			{"scale", []int{c.OutC}, &c.Scale},
		}
	},
}
