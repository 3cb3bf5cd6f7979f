// Package calibrate turns a float network into an int8 one, after training and
// with no more than images to look at. Search finds a table of ranges with which
// there is little noise in the logits, and Model makes what a model file holds of
// network and table; ChooseInt16 lets the fewest outputs be int16 that a target takes.
//
// The packages below do one thing each:
//
//   - fp32 runs float networks.
//   - observe chooses ranges: from histograms of activations, or from batch norms.
//   - quantize makes an int8 network of a float one and a table.
//   - diagnose finds out where the errors of an int8 network come from.
//   - dataset goes through images.
//
// This is the desktop's half of the project: the runtime knows nothing of it, and
// int8.Network is all that passes between them.
package calibrate
