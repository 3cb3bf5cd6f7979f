package q8

import "edgeclassify/int8"

var embeddingCodec = codec{
	describe: func(op int8.Op, d *layer) {
		e := op.(*int8.Embedding)
		d.Pooled, d.Logits, d.Threshold = e.Pooled, e.Logits, e.Threshold
	},
	operation: func(d *layer) (int8.Op, error) {
		return &int8.Embedding{Pooled: d.Pooled, Logits: d.Logits, Threshold: d.Threshold}, nil
	},
	arrays: func(op int8.Op) []array {
		return []array{{"scale", nil, &op.(*int8.Embedding).Scale}}
	},
}
