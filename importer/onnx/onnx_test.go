package onnx_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"edgeclassify/importer/onnx"
	"edgeclassify/internal/onnxpb"
	"edgeclassify/labels"
	"edgeclassify/models"
	exporter "edgeclassify/onnx"
	"edgeclassify/preprocess"
)

func load(t *testing.T, f *file) *models.Imported {
	t.Helper()
	imported, err := onnx.Import(f.save(t), options)
	require.NoError(t, err)
	return imported
}

// small ends a model whose picture has been through x.
func (f *file) small(x string) *file {
	f.end(f.add("GlobalAveragePool", nil, f.conv(x, 3)))
	return f
}

func TestPreprocessing(t *testing.T) {
	usual := preprocess.Torchvision().Sized(preprocess.Square(64))
	for name, c := range map[string]struct {
		build           func(f *file) string
		mean, std       [3]float32
		order, from     string
		kinds           string
		unit, noPicture bool
	}{
		"none": {func(f *file) string { return "x" }, usual.Mean, usual.Std, "rgb", "", "conv globalavgpool", false, true},
		"pixels to -1..1": {func(f *file) string {
			return f.add("Sub", nil, f.add("Mul", nil, "x", f.number(1/127.5)), f.number(1))
		}, [3]float32{127.5, 127.5, 127.5}, [3]float32{127.5, 127.5, 127.5}, "rgb", "node Sub_1", "conv globalavgpool", false, false},
		"pixels by channel": {func(f *file) string {
			x := f.add("Sub", nil, "x", f.weights([]float32{100, 110, 120}, 1, 3, 1, 1))
			return f.add("Div", nil, x, f.weights([]float32{50, 60, 70}, 3, 1, 1))
		}, [3]float32{100, 110, 120}, [3]float32{50, 60, 70}, "rgb", "node Div_1", "conv globalavgpool", false, false},
		"unit": {func(f *file) string {
			x := f.add("Sub", nil, "x", f.weights([]float32{0.5, 0.25, 0.125}, 1, 3, 1, 1))
			return f.add("Div", nil, x, f.number(0.25))
		}, [3]float32{127.5, 63.75, 31.875}, [3]float32{63.75, 63.75, 63.75}, "rgb", "node Div_1", "conv globalavgpool", true, false},
		"BGR": {func(f *file) string {
			x := f.add("Slice", nil, "x", f.integers(-1), f.integers(math.MinInt64), f.integers(1), f.integers(-1))
			return f.add("Sub", nil, x, f.weights([]float32{103, 116, 123}, 1, 3, 1, 1))
		}, [3]float32{103, 116, 123}, [3]float32{1, 1, 1}, "bgr", "node Slice_0", "conv globalavgpool", false, false},
		"BGR behind": {func(f *file) string {
			x := f.add("Sub", nil, "x", f.weights([]float32{123, 116, 103}, 1, 3, 1, 1))
			return f.add("Gather", attributes{"axis": 1}, x, f.integers(2, 1, 0))
		}, [3]float32{103, 116, 123}, [3]float32{1, 1, 1}, "bgr", "node Sub_0", "conv globalavgpool", false, false},
		"transform_input": {func(f *file) string {
			var parts []string
			for i := range int64(3) {
				x := f.add("Unsqueeze", nil, f.add("Gather", attributes{"axis": 1}, "x", f.scalar(i)), f.integers(1))
				parts = append(parts, f.add("Add", nil, f.add("Mul", nil, x, f.number(0.5)), f.number(float32(i-1)/8)))
			}
			return f.add("Concat", attributes{"axis": 1}, parts...)
		}, usual.Mean, usual.Std, "rgb", "", "batchnorm conv globalavgpool", false, true},
		"by parts": {func(f *file) string {
			var parts []string
			for i := range int64(3) {
				x := f.add("Slice", nil, "x", f.integers(2-i), f.integers(3-i), f.integers(1))
				parts = append(parts, f.add("Sub", nil, x, f.number(100+float32(i))))
			}
			return f.add("Concat", attributes{"axis": 1}, parts...)
		}, [3]float32{100, 101, 102}, [3]float32{1, 1, 1}, "bgr", "node Concat_6", "conv globalavgpool", false, false},
		"negative": {func(f *file) string { return f.add("Neg", nil, "x") }, usual.Mean, usual.Std, "rgb", "", "batchnorm conv globalavgpool", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := picture(13, 1, 3, 64, 64)
			f.small(c.build(f))
			imported := load(t, f)
			p := imported.Preprocess
			require.Equal(t, c.order, p.Order)
			require.Equal(t, c.from, imported.PreprocessFrom)
			require.Equal(t, c.kinds, kinds(imported.Graph))
			require.InDeltaSlice(t, c.mean[:], p.Mean[:], 1e-4)
			require.InDeltaSlice(t, c.std[:], p.Std[:], 1e-4)
			require.Equal(t, imported.Input(), p.Input())
			if c.noPicture {
				return
			}
			pixels, rgb, image := make([]float32, 3*64*64), make([]uint8, 3*64*64), make([]float32, 3*64*64)
			for i := range pixels {
				rgb[i] = uint8(i * i)
				pixels[i] = float32(rgb[i])
				if c.unit {
					pixels[i] /= 255
				}
			}
			require.NoError(t, p.Float(image, rgb))
			require.Less(t, distance(t, reference(t, f.save(t), exporter.Planes(pixels, 3)), run(t, imported.Graph, image)), 1e-5)
		})
	}
}

// scalar appends an integer without dimensions.
func (f *file) scalar(v int64) string {
	name := f.integers(v)
	f.Graph.Initializer[len(f.Graph.Initializer)-1].Dims = nil
	return name
}

func TestSizeOfThePicture(t *testing.T) {
	for _, c := range []struct {
		dims []int64
		size preprocess.Size
		want string
	}{
		{[]int64{0, 3, 0, 0}, preprocess.Size{}, "224x224x3"},
		{[]int64{0, 3, 0, 0}, preprocess.Size{H: 96, W: 128}, "96x128x3"},
		{[]int64{1, 3, 32, 48}, preprocess.Size{}, "32x48x3"},
		{[]int64{1, 3, 32, 48}, preprocess.Square(64), "64x64x3"},
		{[]int64{4, 3, 32, 32}, preprocess.Size{}, "32x32x3"},
	} {
		f := picture(13, c.dims...)
		x := f.add("GlobalAveragePool", nil, f.conv("x", 3))
		f.end(f.add("Reshape", nil, x, f.integers(max(1, c.dims[0]), 6)))
		imported, err := onnx.Import(f.save(t), models.ImportOptions{Input: c.size})
		require.NoError(t, err)
		require.Equal(t, c.want, imported.Input().String())
		require.Equal(t, imported.Input(), imported.Preprocess.Input())
	}
	grey := picture(13, 0, 1, 28, 28)
	grey.end(grey.add("GlobalAveragePool", nil, grey.conv("x", 1)))
	require.Equal(t, preprocess.Grey, load(t, grey).Preprocess.Order)
}

// A model of tf2onnx: the picture is NHWC, transposed before and after each layer.
func TestChannelsLast(t *testing.T) {
	f := picture(13, 0, 32, 32, 3)
	nchw, nhwc := attributes{"perm": []int64{0, 3, 1, 2}}, attributes{"perm": []int64{0, 2, 3, 1}}
	x := f.add("Mul", nil, "x", f.number(1/127.5))
	x = f.add("Transpose", nhwc, f.conv(f.add("Transpose", nchw, f.add("Add", nil, x, f.weights([]float32{-1, -1, -1}, 3))), 3))
	x = f.add("Pad", nil, x, f.integers(0, 0, 0, 0, 0, 1, 1, 0))
	x = f.add("ReduceMean", attributes{"axes": []int64{1, 2}}, f.conv(f.add("Transpose", nchw, x), 6))
	f.end(x)
	_, err := onnx.Import(f.save(t), options)
	require.ErrorContains(t, err, `node "ReduceMean_8" (ReduceMean): reduces dimension 1 of [1 6 33 33]: only whole planes have a form here`)
	f.Graph.Node[len(f.Graph.Node)-1].Attribute[0].Ints = []int64{2, 3}
	imported := load(t, f)
	require.Equal(t, "conv pad conv globalavgpool", kinds(imported.Graph))
	require.Equal(t, "node Add_1", imported.PreprocessFrom)
	require.InDeltaSlice(t, []float32{127.5, 127.5, 127.5}, imported.Preprocess.Mean[:], 1e-3)
}

func TestClasses(t *testing.T) {
	for text, want := range map[string]string{
		`["a","b","c","d","e","f"]`:                            "e",
		`{0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: "e's", 5: 'f,g'}`: "e's",
		`['a', 'b', 'c', 'd', 'e\'s', 'f']`:                    "e's",
		"a,b,c,d,e,f":                                          "e",
		"a\nb\nc\nd\ne, or E\nf":                               "e, or E",
		`["a","b"]`:                                            "",
		`{0: 'a', 1: `:                                         "",
	} {
		f := picture(13, 1, 3, 8, 8).small("x")
		f.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: proto.String("names"), Value: &text}}
		imported := load(t, f)
		require.Len(t, imported.Classes, 6)
		if want == "" {
			require.Equal(t, labels.Default(6), imported.Classes)
			require.Empty(t, imported.ClassesFrom)
			require.Contains(t, imported.Notes[0], `The file's metadata "names" is left out`)
			continue
		}
		require.Equal(t, want, imported.Classes[4].Name)
		require.Equal(t, "metadata names", imported.ClassesFrom)
	}
}

// What export writes comes back.
func TestRoundTrip(t *testing.T) {
	f := picture(13, 1, 3, 32, 32)
	x := f.add("Relu", nil, f.conv("x", 3))
	x = f.add("Gemm", nil, f.add("Flatten", nil, f.add("Add", nil, x, f.conv(x, 6))), f.normal(6*32*32, 5), f.normal(5))
	f.end(f.add("Softmax", nil, x))
	imported := load(t, f)
	spec := preprocess.Caffe().Sized(preprocess.Square(32))
	g := imported.With(spec, imported.Classes, imported.Activation)
	var b bytes.Buffer
	require.NoError(t, exporter.WriteFloat(&b, g))
	path := filepath.Join(t.TempDir(), "net.onnx")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	again, err := onnx.Import(path, options)
	require.NoError(t, err)
	require.Equal(t, spec, again.Preprocess)
	require.Equal(t, "metadata preprocess", again.PreprocessFrom)
	require.Equal(t, g.Hash(), again.Hash(), "the same network, names and all")
}

func TestOutputs(t *testing.T) {
	f := picture(13, 1, 3, 8, 8)
	features := f.conv("x", 3)
	f.end(features)
	f.end(f.add("GlobalAveragePool", nil, f.add("Relu", nil, features)))
	f.end(f.add("ArgMax", nil, features))
	imported := load(t, f)
	require.Equal(t, "conv relu globalavgpool", kinds(imported.Graph))
	require.Equal(t, []string{`The file has 3 outputs, "GlobalAveragePool_2" is taken for the classes.`}, imported.Notes)
}

// Weights of every type, in the file and beside it.
func TestStoredWeights(t *testing.T) {
	values := []float32{1, -2, 0.5}
	var raw32, raw64, raw16, brain []byte
	for _, v := range values {
		raw32 = binary.LittleEndian.AppendUint32(raw32, math.Float32bits(v))
		raw64 = binary.LittleEndian.AppendUint64(raw64, math.Float64bits(float64(v)))
		brain = binary.LittleEndian.AppendUint16(brain, uint16(math.Float32bits(v)>>16))
	}
	for _, v := range []uint16{0x3c00, 0xc000, 0x3800} {
		raw16 = binary.LittleEndian.AppendUint16(raw16, v)
	}
	beside := func(length string) func(*onnxpb.TensorProto) {
		entry := func(k, v string) *onnxpb.StringStringEntryProto {
			return &onnxpb.StringStringEntryProto{Key: &k, Value: &v}
		}
		return func(t *onnxpb.TensorProto) {
			t.DataType, t.DataLocation = proto.Int32(1), onnxpb.TensorProto_EXTERNAL.Enum()
			t.ExternalData = []*onnxpb.StringStringEntryProto{entry("location", "net.data"), entry("offset", "4"), entry("length", length)}
		}
	}
	elsewhere := func(location string) func(*onnxpb.TensorProto) {
		return func(t *onnxpb.TensorProto) {
			beside("12")(t)
			t.ExternalData[0].Value = &location
		}
	}
	for name, c := range map[string]struct {
		store func(t *onnxpb.TensorProto)
		err   string
	}{
		"raw":        {func(t *onnxpb.TensorProto) { t.DataType, t.RawData = proto.Int32(1), raw32 }, ""},
		"double":     {func(t *onnxpb.TensorProto) { t.DataType, t.DoubleData = proto.Int32(11), []float64{1, -2, 0.5} }, ""},
		"raw double": {func(t *onnxpb.TensorProto) { t.DataType, t.RawData = proto.Int32(11), raw64 }, ""},
		"half": {func(t *onnxpb.TensorProto) {
			t.DataType, t.Int32Data = proto.Int32(10), []int32{0x3c00, 0xc000, 0x3800}
		}, ""},
		"raw half":    {func(t *onnxpb.TensorProto) { t.DataType, t.RawData = proto.Int32(10), raw16 }, ""},
		"brain":       {func(t *onnxpb.TensorProto) { t.DataType, t.RawData = proto.Int32(16), brain }, ""},
		"beside":      {beside("12"), ""},
		"beside, bad": {beside("16"), `weights "w1": lie at "4", "16" bytes, in "net.data": want 12 bytes`},
		"above":       {elsewhere("../net.data"), `lie in "../net.data": want a file beside the model`},
		"absolute":    {elsewhere("/etc/passwd"), `lie in "/etc/passwd": want a file beside the model`},
		"missing":     {elsewhere("other.data"), "keep it beside the model"},
		"too short":   {elsewhere("short.data"), `lie in "short.data", which is too short`},
		"a folder":    {elsewhere("."), `lie in ".", which is too short`},
		"too few":     {func(t *onnxpb.TensorProto) { t.DataType, t.RawData = proto.Int32(1), raw32[:8] }, `weights "w1": have 2 values for the dimensions [3 1 1]`},
		"string":      {func(t *onnxpb.TensorProto) { t.DataType = proto.Int32(8) }, `weights "w1": are of type STRING: export them as float32`},
	} {
		t.Run(name, func(t *testing.T) {
			f := picture(13, 1, 3, 8, 8)
			f.number(0)
			x := f.add("Add", nil, f.add("Relu", nil, "x"), f.weights(nil, 3, 1, 1))
			f.Graph.Initializer[1].FloatData = nil
			c.store(f.Graph.Initializer[1])
			f.end(f.add("GlobalAveragePool", nil, x))
			path := f.save(t)
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "net.data"), append(make([]byte, 4), raw32...), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "short.data"), make([]byte, 15), 0o600))
			imported, err := onnx.Import(path, options)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, values, imported.Nodes[1].Op.(*models.BatchNorm).Beta)
		})
	}
}

// Functions and branches are written out.
func TestSubgraphs(t *testing.T) {
	f := picture(13, 1, 3, 8, 8)
	body := picture(13)
	f.Functions = []*onnxpb.FunctionProto{{Domain: proto.String("local"), Name: proto.String("Scaled"), Input: []string{"in"}, Output: []string{"LeakyRelu_0"},
		Attribute: []string{"slope"}}}
	body.add("LeakyRelu", nil, "in")
	body.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("alpha"), RefAttrName: proto.String("slope")}}
	f.Functions[0].Node = body.Graph.Node
	x := f.add("Scaled", attributes{"slope": 0.25}, f.conv("x", 3))
	f.Graph.Node[1].Domain = proto.String("local")
	branch := picture(13)
	branch.prefix = "then "
	branch.end(branch.add("Relu", nil, x))
	condition := f.add("Equal", nil, f.integers(3), f.integers(3))
	y := f.add("If", nil, condition)
	f.Graph.Node[3].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("then_branch"), G: branch.Graph}}
	f.end(f.add("GlobalAveragePool", nil, y))
	imported := load(t, f)
	require.Equal(t, "conv LeakyRelu relu globalavgpool", kinds(imported.Graph))
	require.Equal(t, float32(0.25), imported.Nodes[1].Op.(models.Activation).Alpha)

	f.Functions[0].Node[0].OpType, f.Functions[0].Node[0].Domain = proto.String("Scaled"), proto.String("local")
	_, err := onnx.Import(f.save(t), options)
	require.ErrorContains(t, err, "functions within functions")
}

func TestRefusals(t *testing.T) {
	one := func(op string, a attributes) func(*file) { return func(f *file) { f.end(f.add(op, a, "x")) } }
	for want, build := range map[string]func(f *file){
		`node "LayerNormalization_0" (LayerNormalization): no form here: it computes statistics of each picture: train a network with batch normalization`: one("LayerNormalization", nil),
		`node "QuantizeLinear_0" (QuantizeLinear): no form here: the file is quantized already: give the float model`:                                      one("QuantizeLinear", nil),
		`node "ArgMax_0" (ArgMax): no form here: the answer is made here: export the network without it`:                                                   one("ArgMax", nil),
		`node "Einsum_0" (Einsum): Einsum has no form here: train a network without it`:                                                                    one("Einsum", nil),
		`node "Erf_0": no form here: only as a part of GELU`:                                                                                               func(f *file) { f.end(f.add("GlobalAveragePool", nil, f.add("Erf", nil, "x"))) },
		`output "Relu_0" is 8x8x3, not one value for each class`:                                                                                           one("Relu", nil),
		`node "Softmax_0" (Softmax): is over dimension 1 of [1 3 8 8]`:                                                                                     one("Softmax", attributes{"axis": 1}),
		`mode "reflect" has no form here: pad with zeros`:                                                                                                  one("Pad", attributes{"mode": "reflect", "pads": []int64{0, 0, 0, 0, 0, 0, 0, 0}}),
		`auto_pad "SAME" is unknown`:                            func(f *file) { f.end(f.add("Conv", attributes{"auto_pad": "SAME"}, "x", f.normal(1, 3, 1, 1))) },
		`input 1 is computed from the picture, want a constant`: func(f *file) { f.end(f.add("Conv", nil, "x", "x")) },
		`its weights have dimensions [4 3 3], want four`:        func(f *file) { f.end(f.add("Conv", nil, "x", f.normal(4, 3, 3))) },
		`input has 3 channels, the weights expect 4`:            func(f *file) { f.end(f.add("Conv", nil, "x", f.normal(4, 4, 3, 3))) },
		`reads a tensor of dimensions ["" "H" "W" "C"]`: func(f *file) {
			f.conv(f.add("Transpose", attributes{"perm": []int64{0, 2, 3, 1}}, "x"), 8)
			f.end("Conv_1")
		},
		`splits the dimensions [1 6 8 8] into [1 6 2 4 8]: only channels`: func(f *file) { f.end(f.add("Reshape", nil, f.conv("x", 3), f.integers(1, 6, 2, 4, 8))) },
		`computes with channels in parts, [1 2 3 8 8]`: func(f *file) {
			f.end(f.add("Relu", nil, f.add("Reshape", nil, f.conv("x", 3), f.integers(1, 2, 3, 8, 8))))
		},
		`different for each pixel: only numbers for each channel have`:        func(f *file) { f.end(f.add("Add", nil, "x", f.normal(1, 3, 8, 8))) },
		`divides by a tensor of the network`:                                  func(f *file) { f.end(f.add("Div", nil, "x", f.add("Relu", nil, "x"))) },
		`adds tensors of dimensions [1 3 8 8] and [1 3 1 1]`:                  func(f *file) { f.end(f.add("Add", nil, "x", f.add("GlobalAveragePool", nil, "x"))) },
		`reduces a part of the plane`:                                         one("ReduceMean", attributes{"axes": []int64{2}}),
		`reduces dimension 1 of [1 3 8 8]`:                                    one("ReduceMean", nil),
		`ceil_mode with count_include_pad`:                                    one("AveragePool", attributes{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}, "pads": []int64{1, 1, 0, 0}, "ceil_mode": 1, "count_include_pad": 1}),
		`its kernel covers 1x2147483647 pixels`:                               one("MaxPool", attributes{"kernel_shape": []int64{1, math.MaxInt64}}),
		`input "y" does not exist before it`:                                  func(f *file) { f.end(f.add("Relu", nil, "y")) },
		`operators of domain "com.microsoft" are not ONNX's own`:              func(f *file) { f.end(f.add("Gelu", nil, "x")); f.Graph.Node[0].Domain = proto.String("com.microsoft") },
		`is of operator set 6: export it again with opset_version 7 or later`: func(f *file) { f.OpsetImport[0].Version = proto.Int64(6); f.end(f.add("Relu", nil, "x")) },
		`has 2 inputs, want one: the picture`: func(f *file) {
			f.Graph.Input = append(f.Graph.Input, &onnxpb.ValueInfoProto{Name: proto.String("y")})
			f.end("x")
			f.add("Relu", nil, "x")
		},
		`has 3 dimensions, want the four of a picture`:           func(f *file) { *f = *picture(13, 3, 8, 8); f.end(f.add("Relu", nil, "x")) },
		`has shape [1 4 8 8], want a picture of 1 or 3 channels`: func(f *file) { *f = *picture(13, 1, 4, 8, 8); f.end(f.add("Relu", nil, "x")) },
		`output "Size_0" does not depend on the picture`:         one("Size", nil),
		`casts a tensor of the network to integers`:              one("Cast", attributes{"to": 7}),
		`it has no graph`: func(f *file) { f.Graph = nil },
		`asks for more memory than the file justifies`: func(f *file) { f.end(f.add("Add", nil, "x", f.add("ConstantOfShape", nil, f.integers(1<<20, 1<<10)))) },
		`its condition depends on the picture`:         one("If", nil),
	} {
		f := picture(13, 1, 3, 8, 8)
		build(f)
		path := f.save(t)
		_, err := onnx.Import(path, options)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "onnx: "+path+": ")
	}
	_, err := onnx.Import(filepath.Join(t.TempDir(), "none.onnx"), options)
	require.ErrorIs(t, err, os.ErrNotExist)
	html := filepath.Join(t.TempDir(), "page.onnx")
	require.NoError(t, os.WriteFile(html, []byte("<html>"), 0o600))
	_, err = onnx.Import(html, options)
	require.ErrorContains(t, err, "is no ONNX file, or damaged")
}
