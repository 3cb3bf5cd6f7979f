package calibrate

import (
	"slices"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// Model quantizes a folded graph by a table: all that a model file holds. The
// self-test has the answer of the portable kernel, which is no CPU's.
func Model(g *models.Graph, t *quantize.RangeTable, from q8.Provenance, threads int) (*q8.Model, error) {
	n, err := quantize.Network(g, t)
	if err != nil {
		return nil, err
	}
	test, err := newSelfTest(n, threads)
	if err != nil {
		return nil, err
	}
	return q8.New(n, g.Preprocess, slices.Clone(g.Classes), g.Activation, from, test)
}

func newSelfTest(n *int8.Network, threads int) (*q8.SelfTest, error) {
	plan, err := runtime.Compile(n, runtime.Options{Threads: min(threads, runtime.MaxThreads), Kernel: int8.Generic().Name})
	if err != nil {
		return nil, err
	}
	session := plan.NewSession()
	defer session.Close()
	test := &q8.SelfTest{Seed: 1}
	logits, err := session.Run(test.Image(n))
	test.LogitsSHA256 = int8.HashLogits(logits)
	return test, err
}
