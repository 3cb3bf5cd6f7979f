package main

import (
	"fmt"
	"slices"
	"strings"
)

// routine is a kernel's code with the arguments of a call. Its time is the sum of a
// call's and of its groups'; a group's grows linearly with the steps once there are many.
type routine struct {
	*function
	*call
	flagged func(args []uint64, set func(at uint64)) // bytes that hold flag; nil for none
	flag    uint8
}

// arguments are those of a call with so many groups of so many steps.
func (r routine) arguments(groups, steps int) []uint64 {
	args := slices.Clone(r.args)
	r.repeats.set(args, 1)
	r.kernel.groups.set(args, groups)
	r.kernel.steps.set(args, steps)
	return args
}

// run is the trace of a call.
func (r routine) run(groups, steps int) ([]*instruction, error) {
	data, args := map[uint64]uint8{}, r.arguments(groups, steps)
	if r.flagged != nil {
		r.flagged(args, func(at uint64) { data[at] = r.flag })
	}
	return r.trace(args, data)
}

// amount is what code takes.
type amount struct{ cycles, instructions float64 }

// plus adds times b.
func (a amount) plus(times float64, b amount) amount {
	return amount{a.cycles + times*b.cycles, a.instructions + times*b.instructions}
}

// cost is that of a call beyond its groups, and of each group.
type cost struct{ call, group amount }

// A group with up to exact periods of steps is simulated as it is; of longer
// ones the last whole period is simulated and repeated.
const exact = 2

func (r routine) cost(m model, steps int) (cost, error) {
	limit := exact * r.period
	if steps <= limit {
		return r.simulate(m, steps)
	}
	periods := (steps - limit + r.period - 1) / r.period
	long, err := r.simulate(m, steps-periods*r.period)
	if err != nil {
		return cost{}, err
	}
	short, err := r.simulate(m, steps-(periods+1)*r.period)
	if err != nil {
		return cost{}, err
	}
	long.group = long.group.plus(float64(periods), long.group.plus(-1, short.group))
	return long, nil
}

// simulate compares calls of three groups and of one, so that what the core
// overlaps between groups counts and filling its pipelines does not.
func (r routine) simulate(m model, steps int) (cost, error) {
	const few, many = 1, 3
	var took [2]amount
	for i, groups := range []int{few, many} {
		trace, err := r.run(groups, max(steps, 1))
		if err != nil {
			return cost{}, err
		}
		cycles, err := m.cycles(trace)
		if err != nil {
			return cost{}, err
		}
		took[i] = amount{cycles, float64(len(trace))}
	}
	group := amount{}.plus(1./(many-few), took[1].plus(-1, took[0]))
	call := took[0].plus(-1, group)
	call.cycles = max(call.cycles, 0)
	return cost{call, group}, nil
}

// loop is a routine's inner loop, as often as its unrolling makes it differ.
type loop struct {
	Instructions int     `json:"instructions"`
	MACs         int     `json:"macs"`
	Cycles       float64 `json:"cycles"`
}

// innerLoop finds the branch back that is taken most often and measures an
// iteration that it begins, between others of its kind.
func (r routine) innerLoop(m model) (loop, error) {
	trace, err := r.run(1, 4*exact*r.period)
	if err != nil {
		return loop{}, err
	}
	taken := map[*instruction]int{}
	var branch *instruction
	for i, in := range trace[:len(trace)-1] {
		if trace[i+1].address <= in.address {
			taken[in]++
			if branch == nil || taken[in] > taken[branch] {
				branch = in
			}
		}
	}
	if branch == nil {
		return loop{}, fmt.Errorf("%s: no loop", r.name)
	}
	begin, end := 0, 0
	for i, in := range trace[:len(trace)-1] {
		if in == branch && trace[i+1].address <= in.address {
			begin, end = end, i+1
		}
	}
	body := trace[begin:end]
	l := loop{Instructions: len(body), MACs: macs(body)}
	const few, many = 10, 30
	var cycles [2]float64
	for i, n := range []int{few, many} {
		var repeated []*instruction
		for range n {
			repeated = append(repeated, body...)
		}
		if cycles[i], err = m.cycles(repeated); err != nil {
			return loop{}, err
		}
	}
	l.Cycles = (cycles[1] - cycles[0]) / (many - few)
	return l, nil
}

// macs counts the products of 8 by 8 bits and more that instructions add up.
func macs(trace []*instruction) int {
	sum := 0
	for _, in := range trace {
		if len(in.operands) == 0 {
			continue
		}
		destination := in.operands[0]
		switch {
		case strings.HasSuffix(in.name, "mmla"):
			sum += 32
		case strings.HasSuffix(in.name, "dot"):
			sum += 16
		case strings.HasPrefix(in.name, "smull"), strings.HasPrefix(in.name, "smlal"):
			if strings.HasSuffix(destination, ".8h") {
				sum += 8
			} else {
				sum += 4
			}
		}
	}
	return sum
}
