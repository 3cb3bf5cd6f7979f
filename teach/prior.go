package teach

// Without a photograph to leave out, the choice follows what the base network makes of
// the photographs. One that is sure of them knows their world: what it takes them for
// says more than the features do. Of photographs such as it was trained on, ResNet50's
// first answer has a probability of 0.86, of drawings 0.40.
const (
	sure   = 0.7
	unsure = 0.5
)

// What most often is about right with one photograph of each class.
const (
	priorStrength    = 100
	priorTemperature = 0.25
)

func (t *trainer) prior() *choice {
	c := &choice{share: 0.5, strength: priorStrength, temperature: priorTemperature}
	switch {
	case t.vectors.certainty >= sure:
		c.share = 0
	case t.vectors.certainty <= unsure: // as without a classifier
		c.share = 1
	}
	return c
}
