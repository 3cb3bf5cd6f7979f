// Package labels names the classes that a network tells apart.
package labels

// Class is one class: a WordNet id such as "n01440764" (or any stable id), and
// a name for people.
type Class struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}
