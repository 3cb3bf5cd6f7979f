package quantize

import (
	"fmt"

	"edgeclassify/models"
)

// add has a form only behind a convolution.
var add = operation{reason: func(_ *models.Graph, n *models.Node) error {
	return fmt.Errorf("calibrate: node %q (add): neither input is a convolution that feeds this add alone, so there is nothing to fuse it with", n.Name)
}}
