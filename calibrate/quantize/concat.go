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

// shared is the range of concatenations that are parts of each other, as in a dense
// block (Huang et al., arXiv:1608.06993), and the limits of their other parts.
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
			if group == nil || in == tensor.Input || units[in.Node()].concatenates() {
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
			if u.concatenates() && in != tensor.Input && units[in.Node()].concatenates() {
				t.join(in, tensor.Output(i))
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
			if in != tensor.Input && !units[in.Node()].concatenates() {
				c := units[in.Node()].Clip
				groups[id].clip = models.Clip{Min: min(groups[id].clip.Min, c.Min), Max: max(groups[id].clip.Max, c.Max)}
			}
		}
	}
	return groups
}
