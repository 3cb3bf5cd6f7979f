package models

import "edgeclassify/preprocess"

// ImportOptions say what a file of weights leaves open.
type ImportOptions struct {
	// Input is the size of the image for networks that take any; the zero value
	// takes what the file says, or 224x224.
	Input preprocess.Size
	// EMA takes the exponential moving average of the weights, where a checkpoint
	// holds it beside them.
	EMA bool
	// Architecture names the network where tensor names do not tell it, as timm's
	// config.json does; empty otherwise.
	Architecture string
}

// Imported is a network as its file describes it.
type Imported struct {
	*Graph
	// PreprocessFrom and ClassesFrom say where the graph's Preprocess and Classes were
	// found, as "config.json" or "layer rescaling"; empty where nothing says them
	// and they are the usual ones.
	PreprocessFrom, ClassesFrom string
	// Guess says why Preprocess is what it is where nothing says it; it may be empty.
	Guess string
	// Notes tell the user what was chosen among several things, a sentence each.
	Notes []string
}
