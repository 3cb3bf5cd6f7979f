package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// embedding is the vector that a taught classifier reads.
type embedding struct {
	node
	op *int8.Embedding
}

func newEmbedding(n node) operator { return &embedding{n, n.layer.Op.(*int8.Embedding)} }

// bind has one thread do it all: there is not enough to share.
func (e *embedding) bind(s *Session) task {
	dst, bound := values[int16](s, e.out), e.layer.Out.Bound
	pooled, read := s.pixel(e.layer.Inputs[0])
	var logits []int32
	if len(e.in) == 2 {
		logits = values[int32](s, e.layer.Inputs[1])
	}
	return func(int8.Part, []int64) {
		if read != nil {
			read(pooled)
		}
		e.op.Of(dst, pooled, logits, bound)
	}
}

// pixel is q - zero of a tensor of one pixel: where they are, or where read puts them.
func (s *Session) pixel(id tensor.ID) (pooled []int16, read func(dst []int16)) {
	if s.plan.network.Content(id) != int8.Activation {
		return values[int16](s, id), nil
	}
	src, zero := s.plane(id), int16(s.plan.network.Tensor(id).ZeroAt(0))
	return make([]int16, src.shape.C), func(dst []int16) {
		src.widen(dst)
		for i := range dst {
			dst[i] -= zero
		}
	}
}
