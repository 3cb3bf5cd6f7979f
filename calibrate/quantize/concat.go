package quantize

import (
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// concat has one scale for all of its parts.
var concat = operation{ranged: true, layer: func(a *attempt, i int, _ activation) (int8.Op, activation, error) {
	out, err := a.rangedOutput(i)
	return int8.Concat{}, out, err
}}

func (u *Unit) concatenates() bool {
	_, ok := u.Op.(models.Concat)
	return ok
}

// concatenated is the concatenation that a tensor is, or is channels of; ok is false if
// there is none.
func concatenated(units []Unit, id tensor.ID) (c tensor.ID, ok bool) {
	c = gathered(units, id)
	return c, c != tensor.Input && units[c.Node()].concatenates()
}

// shared is the range of concatenations that are parts of each other, or have channels
// of each other, as in a dense block (Huang et al., arXiv:1608.06993) and a stage of
// ShuffleNet V2 (Ma et al., arXiv:1807.11164), and the limits of their other parts.
type shared struct {
	ranges []string
	clip   models.Clip
}

// share gives all parts of concatenations their range. What feeds one alone takes it
// for its output; behind all else stands another unit that brings its values there.
func share(units []Unit) (all []Unit) {
	groups, read := sharing(units), make([]int, len(units)+1)
	for _, u := range units {
		for _, in := range u.Inputs {
			read[in]++
		}
	}
	moved := []tensor.ID{tensor.Input} // from units to all
	type copied struct {
		part  tensor.ID
		group *shared
	}
	copies := map[copied]tensor.ID{}
	for i, u := range units {
		group, inputs := groups[tensor.Output(i)], make([]tensor.ID, len(u.Inputs))
		for k, in := range u.Inputs {
			inputs[k] = moved[in]
			if _, has := concatenated(units, in); group == nil || in == tensor.Input || has {
				continue
			}
			part := &all[moved[in].Node()]
			if read[in] == 1 && part.fits(group) {
				part.ranges = group.ranges
				continue
			}
			if copies[copied{in, group}] == 0 {
				all = append(all, Unit{
					Name: part.Name + "/" + group.ranges[0], Op: models.Unlimited(), Inputs: []tensor.ID{moved[in]},
					Output: part.Output, Clip: group.clip, Shape: part.Shape, ranges: group.ranges,
				})
				copies[copied{in, group}] = tensor.Output(len(all) - 1)
			}
			inputs[k] = copies[copied{in, group}]
		}
		if u.Inputs = inputs; group != nil {
			u.ranges, u.Clip = group.ranges, group.clip
		}
		all = append(all, u)
		moved = append(moved, tensor.Output(len(all)-1))
	}
	return all
}

// fits tells whether a unit can have a group's range for its output.
func (u *Unit) fits(group *shared) bool {
	op := u.operation()
	return u.ranges != nil && u.Clip == group.clip && (op.moves == nil || !op.moves(u))
}

// sharing finds the groups by concatenation.
func sharing(units []Unit) map[tensor.ID]*shared {
	t := &ties{to: []tensor.ID{tensor.Input}}
	for i, u := range units {
		t.to = append(t.to, tensor.Output(i))
		for _, in := range u.Inputs {
			if c, ok := concatenated(units, in); ok && u.concatenates() {
				t.join(c, tensor.Output(i))
			}
		}
	}
	groups := map[tensor.ID]*shared{}
	for i, u := range units {
		if !u.concatenates() {
			continue
		}
		id := tensor.Output(i)
		first := t.first(id)
		if groups[first] == nil {
			groups[first] = &shared{}
		}
		groups[id] = groups[first]
		groups[id].ranges = append(groups[id].ranges, u.Name)
		for _, in := range u.Inputs {
			if _, has := concatenated(units, in); in != tensor.Input && !has {
				c := units[in.Node()].Clip
				groups[id].clip = models.Clip{Min: min(groups[id].clip.Min, c.Min), Max: max(groups[id].clip.Max, c.Max)}
			}
		}
	}
	return groups
}
