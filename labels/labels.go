// Package labels names the classes that a network tells apart.
package labels

// Class is one class: a WordNet id such as "n01440764" (or any stable id), and
// a name for people.
type Class struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Activation turns logits into probabilities.
type Activation string

// The activations behind the last layer. With Sigmoid classes are independent of
// each other; a network with one logit tells two classes apart by it: the
// probability is that of the second.
const (
	Softmax Activation = "softmax"
	Sigmoid Activation = "sigmoid"
)
