package q8

import "edgeclassify/int8"

var gatherCodec = codec{
	describe:  func(int8.Op, *layer) {},
	operation: func(*layer) (int8.Op, error) { return &int8.Gather{}, nil },
	arrays:    func(op int8.Op) []array { return []array{{"indices", nil, &op.(*int8.Gather).Indices}} },
}
