package tensor

import (
	"errors"
	"fmt"

	"edgeclassify/internal/printable"
)

// ID numbers a tensor of a network: 0 is the network's input, i+1 the output of
// node i.
type ID int

// Input is the network's input.
const Input ID = 0

// Output is the tensor that a node makes.
func Output(node int) ID { return ID(node + 1) }

// Node is the number of the node that makes the tensor, -1 for the network's
// input.
func (t ID) Node() int { return int(t) - 1 }

// Topology is how the nodes of a network are connected: they stand in
// topological order, and each makes one tensor, which carries its name, of
// tensors before it.
type Topology struct {
	names     []string // by tensor
	inputs    [][]ID   // by node
	consumers [][]int  // by tensor
	ids       map[string]ID
}

// NewTopology begins a network whose input has that name.
func NewTopology(input string) *Topology {
	return &Topology{names: []string{input}, consumers: [][]int{nil}, ids: map[string]ID{input: Input}}
}

// Add appends a node and returns its tensor. It fails if the name is empty, taken
// or not printable or an input is no tensor before it.
func (t *Topology) Add(name string, inputs ...ID) (ID, error) {
	if name == "" {
		return 0, errors.New("the name is empty")
	}
	if printable.Text(name) != name {
		return 0, errors.New("the name has control characters: give the network's layers others")
	}
	if _, taken := t.ids[name]; taken {
		return 0, errors.New("the name is used twice")
	}
	node, id := len(t.inputs), ID(len(t.names))
	for _, in := range inputs {
		if in < 0 || in >= id {
			return 0, fmt.Errorf("input %d is no tensor before it", in)
		}
	}
	for _, in := range inputs {
		t.consumers[in] = append(t.consumers[in], node)
	}
	t.names, t.inputs, t.consumers = append(t.names, name), append(t.inputs, inputs), append(t.consumers, nil)
	t.ids[name] = id
	return id, nil
}

// Len is the number of tensors: one more than that of nodes.
func (t *Topology) Len() int { return len(t.names) }

// Name is the tensor's name: that of the node that makes it.
func (t *Topology) Name(id ID) string { return t.names[id] }

// ID finds a tensor by its name.
func (t *Topology) ID(name string) (ID, error) {
	id, ok := t.ids[name]
	if !ok {
		return 0, fmt.Errorf("input %q does not exist before it", name)
	}
	return id, nil
}

// IDs finds tensors by their names.
func (t *Topology) IDs(names []string) ([]ID, error) {
	ids := make([]ID, len(names))
	for i, name := range names {
		var err error
		if ids[i], err = t.ID(name); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Names are those of tensors.
func (t *Topology) Names(ids []ID) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = t.names[id]
	}
	return names
}

// Consumers are the nodes that read a tensor, in order. One that reads it twice
// stands there twice.
func (t *Topology) Consumers(id ID) []int { return t.consumers[id] }

// Truncate is the topology of the first nodes.
func (t *Topology) Truncate(nodes int) *Topology {
	cut := NewTopology(t.names[Input])
	for i, inputs := range t.inputs[:nodes] {
		_, _ = cut.Add(t.names[Output(i)], inputs...) // fits, as it did before
	}
	return cut
}
