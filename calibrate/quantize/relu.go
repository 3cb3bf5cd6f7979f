package quantize

import (
	"fmt"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// relu has a form only behind a convolution.
var relu = operation{reason: func(g *models.Graph, n *models.Node) error {
	in := n.Inputs[0]
	if len(g.Topology().Consumers(in)) > 1 {
		return fmt.Errorf("calibrate: node %q: its input %q is also used without the ReLU, which has no integer form", n.Name, g.Topology().Name(in))
	}
	if in == tensor.Input {
		return noForm(n)
	}
	return nil
}}
