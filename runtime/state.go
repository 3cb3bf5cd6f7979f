package runtime

import (
	"fmt"
	"slices"

	"edgeclassify/tensor"
)

// State is what a session has made of an image before a step: the tensors that this
// and later steps read. It serves every plan for the same kernel whose tensors have
// the same types and shapes, and whose layers up to there are the same.
type State struct {
	next  tensor.ID // which the step makes
	bytes []byte
}

// Next is the tensor that is to be made next; the image if nothing is.
func (s *State) Next() tensor.ID { return s.next }

// StateBytes is the memory of a State in which next is to be made.
func (p *Plan) StateBytes(next tensor.ID) (sum int) {
	p.eachAlive(p.stepOf[next], func(b *buffer) { sum += b.life.Size })
	return sum
}

// eachAlive calls f for the buffers that are written before a step and read then or
// later.
func (p *Plan) eachAlive(step int, f func(b *buffer)) {
	for i := range p.buffers {
		if b := &p.buffers[i]; !p.joined(tensor.ID(i)) && b.life.First < step && b.life.Last >= step {
			f(b)
		}
	}
}

// Resume brings the session to a state, from which Advance goes on: with a State of
// nothing made, to the image. Like Advance it works on the caller's thread alone.
func (s *Session) Resume(image []uint8, from *State) error {
	if err := s.check(image); err != nil {
		return err
	}
	if from.next == tensor.Input {
		s.image, s.next = image, 0
		return nil
	}
	if want := s.plan.StateBytes(from.next); len(from.bytes) != want {
		return fmt.Errorf("runtime: the state has %d bytes, want %d: it is another network's", len(from.bytes), want)
	}
	at := 0
	s.next = s.plan.stepOf[from.next]
	s.plan.eachAlive(s.next, func(b *buffer) { at += copy(s.arena[b.offset:][:b.life.Size], from.bytes[at:]) })
	return nil
}

// Advance makes all tensors before next that are not made yet, but none of the chain
// that next belongs to.
func (s *Session) Advance(next tensor.ID) {
	for ; s.next < s.plan.stepOf[next]; s.next++ {
		s.step(s.next)
	}
}

// Save copies the state to one whose memory may be used again.
func (s *Session) Save(to *State) {
	to.next = s.plan.first(s.next)
	to.bytes = slices.Grow(to.bytes[:0], s.plan.StateBytes(to.next))
	s.plan.eachAlive(s.next, func(b *buffer) { to.bytes = append(to.bytes, s.arena[b.offset:][:b.life.Size]...) })
}

// Output copies a tensor that the next step reads, in HWC order.
func (s *Session) Output(id tensor.ID) []int32 { return s.output(id) }

// Finish makes all tensors that are left, and returns the logits as Run does.
func (s *Session) Finish() []int32 {
	s.Advance(tensor.ID(len(s.plan.buffers)))
	return s.logits
}
