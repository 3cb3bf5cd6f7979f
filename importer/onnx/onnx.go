// Package onnx imports networks from ONNX files, as PyTorch, timm, Keras and
// tf2onnx export them.
//
// Nodes are taken in the file's order, with shapes known: the batch is 1, the
// picture has a size. What depends on shapes and weights alone is computed; each
// other node becomes operations of package models. Chains of nodes that are one
// operation, as x * Sigmoid(x), are found when their last node comes: it looks
// back, and what nothing reads any more is left out in the end.
//
// Format: https://github.com/onnx/onnx/blob/main/docs/IR.md.
package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"edgeclassify/internal/onnxpb"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Import reads the network of an .onnx file, and its weights from files beside it
// where it says so.
func Import(path string, o models.ImportOptions) (*models.Imported, error) {
	imported, err := func() (*models.Imported, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, _ := strings.CutSuffix(filepath.Base(path), filepath.Ext(path))
		return parse(b, name, filepath.Dir(path), o)
	}()
	if err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", path, err)
	}
	return imported, nil
}

// minOpset is the first operator set whose operations broadcast as NumPy does.
const minOpset = 7

// parse reads a model whose external data lie in dir.
func parse(b []byte, name, dir string, o models.ImportOptions) (*models.Imported, error) {
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("is no ONNX file, or damaged: %w", err)
	}
	if m.Graph == nil || len(m.Graph.Node) == 0 {
		return nil, errors.New("is no ONNX file, or damaged: it has no graph")
	}
	imp := &importing{values: map[string]value{}, names: map[string]bool{}, functions: map[string]*onnxpb.FunctionProto{},
		constants: constants{dir: dir, budget: 4*len(b) + 1<<20, files: map[string]bool{}}}
	for _, set := range m.OpsetImport {
		if standard(set.GetDomain()) {
			imp.opset = int(set.GetVersion())
		}
	}
	if imp.opset < minOpset {
		return nil, fmt.Errorf("is of operator set %d: export it again with opset_version %d or later", imp.opset, minOpset)
	}
	for _, f := range m.Functions {
		imp.functions[f.GetDomain()+"."+f.GetName()] = f
	}
	if err := imp.begin(m.Graph, o.Input); err != nil {
		return nil, err
	}
	imp.run(m.Graph.Node)
	out, err := imp.output(m.Graph.Output)
	if err != nil {
		return nil, err
	}
	metadata := map[string]string{}
	for _, e := range m.MetadataProps {
		metadata[e.GetKey()] = e.GetValue()
	}
	return imp.finish(name, out, metadata)
}

func standard(domain string) bool { return domain == "" || domain == "ai.onnx" }

// defaultSide is the side of the picture, in pixels, where nothing says it.
const defaultSide = 224

// begin declares the constants and the picture.
func (imp *importing) begin(g *onnxpb.GraphProto, size preprocess.Size) error {
	if len(g.SparseInitializer) > 0 {
		return fmt.Errorf("weights %q are sparse: export them dense", g.SparseInitializer[0].GetValues().GetName())
	}
	imp.declare(g.Initializer)
	var inputs []*onnxpb.ValueInfoProto
	for _, in := range g.Input {
		if _, stored := imp.values[in.GetName()]; !stored { // old files list weights among the inputs
			inputs = append(inputs, in)
		}
	}
	if len(inputs) != 1 {
		return fmt.Errorf("has %d inputs, want one: the picture", len(inputs))
	}
	name := inputs[0].GetName()
	if err := imp.picture(name, inputs[0].GetType().GetTensorType(), size); err != nil {
		return fmt.Errorf("input %q: %w", name, err)
	}
	return nil
}

// declare makes weights known.
func (imp *importing) declare(weights []*onnxpb.TensorProto) {
	for _, t := range weights {
		imp.values[t.GetName()] = value{stored: t}
	}
}

// picture declares the image, in the order of channels that its type says.
func (imp *importing) picture(name string, t *onnxpb.TypeProto_Tensor, size preprocess.Size) error {
	var dims []int // 0 where the file leaves it open
	for _, d := range t.GetShape().GetDim() {
		if d.GetDimValue() < 0 || d.GetDimValue() > maxSide && len(dims) > 0 {
			return fmt.Errorf("%d is no height or width: want up to %d", d.GetDimValue(), maxSide)
		}
		dims = append(dims, int(d.GetDimValue()))
	}
	if len(dims) != 4 {
		return fmt.Errorf("has %d dimensions, want the four of a picture: batch, channels, height and width", len(dims))
	}
	pixel := func(channels int) bool { return channels == 1 || channels == 3 }
	order, c, h, w := nchw, dims[1], dims[2], dims[3]
	if !pixel(c) && pixel(dims[3]) {
		order, c, h, w = nhwc, dims[3], dims[1], dims[2]
	}
	if c = cmp.Or(c, 3); !pixel(c) {
		return fmt.Errorf("has shape %v, want a picture of 1 or 3 channels", dims)
	}
	shape := tensor.Shape{H: cmp.Or(size.H, h, defaultSide), W: cmp.Or(size.W, w, defaultSide), C: c}
	imp.batch = dims[0]
	imp.channelsLast = order[3] == "C"
	imp.image = &node{name: imp.unique(name), shape: shape}
	imp.values[name] = value{view: &view{node: imp.image, axes: order.of(shape)}}
	return nil
}

// output is the tensor of logits or probabilities: the first output that has one
// value for each class.
func (imp *importing) output(outputs []*onnxpb.ValueInfoProto) (*view, error) {
	var found *view
	var failed error
	var name string
	for _, out := range outputs {
		v, err := imp.value(out.GetName())
		switch {
		case err != nil:
		case v.view == nil:
			err = fmt.Errorf("output %q does not depend on the picture", out.GetName())
		case v.shape().H != 1 || v.shape().W != 1:
			err = fmt.Errorf("output %q is %v, not one value for each class: export a classifier, with its head", out.GetName(), v.shape())
		case found == nil:
			found, name = v.view, out.GetName()
		}
		failed = cmp.Or(failed, err)
	}
	if found == nil {
		return nil, cmp.Or(failed, errors.New("the graph has no output"))
	}
	if len(outputs) > 1 {
		imp.notes = append(imp.notes, fmt.Sprintf("The file has %d outputs, %q is taken for the classes.", len(outputs), name))
	}
	return found, nil
}
