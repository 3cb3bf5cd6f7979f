package q8_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/safetensors"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

var zeros = []byte(strings.Repeat("0", 64))

// huge is the largest number that the loader's integers hold.
var huge = strconv.Itoa(math.MaxInt)

// seal puts the right checksum where b has the given one.
func seal(b, checksum []byte) []byte {
	b = bytes.Replace(b, checksum, zeros, 1)
	sum := sha256.Sum256(b)
	return bytes.Replace(b, zeros, []byte(hex.EncodeToString(sum[:])), 1)
}

// checksum is the one that b claims to have, if it is a safetensors file.
func checksum(b []byte) []byte {
	f, err := safetensors.Parse(b)
	if err != nil || len(f.Metadata["sha256"]) != len(zeros) {
		return nil
	}
	return []byte(f.Metadata["sha256"])
}

// contents is a file taken apart.
type contents struct {
	*safetensors.File
	t testing.TB
}

func takeApart(t testing.TB, b []byte) contents {
	f, err := safetensors.Parse(b)
	require.NoError(t, err)
	return contents{f, t}
}

// bytes puts the file together again, with the right checksum.
func (c contents) bytes() []byte {
	if c.Metadata["sha256"] != "" {
		c.Metadata["sha256"] = string(zeros)
	}
	var b bytes.Buffer
	require.NoError(c.t, safetensors.Write(&b, c.Metadata, c.Tensors))
	return seal(b.Bytes(), zeros)
}

// replace changes one thing in one metadata document.
func (c contents) replace(key, old, new string) {
	require.Equal(c.t, 1, strings.Count(c.Metadata[key], old), "%q in %s", old, c.Metadata[key])
	c.Metadata[key] = strings.Replace(c.Metadata[key], old, new, 1)
}

func (c contents) tensor(name string) *safetensors.Tensor {
	i := slices.IndexFunc(c.Tensors, func(t safetensors.Tensor) bool { return t.Name == name })
	require.GreaterOrEqual(c.t, i, 0, name)
	c.Tensors[i].Data = bytes.Clone(c.Tensors[i].Data)
	return &c.Tensors[i]
}

func (c contents) float(name string, v float64) {
	binary.LittleEndian.PutUint32(c.tensor(name).Data, math.Float32bits(float32(v)))
}

func graph(old, new string) func(contents) {
	return func(c contents) { c.replace("graph", old, new) }
}

func metadata(key, value string) func(contents) {
	return func(c contents) { c.Metadata[key] = value }
}

// TestHostileContents edits one thing each in a well-formed file and seals it
// again, so that nothing but the loader's own checks can find it.
func TestHostileContents(t *testing.T) {
	file := encode(t, tiny())
	require.Equal(t, file, takeApart(t, file).bytes(), "without an edit the file must stay as it was")
	stem := `"name":"stem"`
	for name, test := range map[string]struct {
		edit func(contents)
		want string
	}{
		"no metadata":        {func(c contents) { clear(c.Metadata) }, `not a q8 model but another safetensors file: metadata format is "", want "q8"`},
		"PyTorch's metadata": {metadata("format", "pt"), `metadata format is "pt", want "q8"; quantize the float model first`},
		"later version":      {metadata("version", "2"), `format version "2": this program reads version 1; update this program, or quantize the model again`},
		"no version":         {func(c contents) { delete(c.Metadata, "version") }, `format version ""`},
		"no checksum":        {func(c contents) { delete(c.Metadata, "sha256") }, "metadata sha256 is missing or no checksum"},
		"short checksum":     {metadata("sha256", ""), "metadata sha256 is missing or no checksum"},
		"no graph":           {func(c contents) { delete(c.Metadata, "graph") }, "metadata graph is missing"},
		"no labels":          {func(c contents) { delete(c.Metadata, "labels") }, "metadata labels is missing"},
		"unknown metadata":   {metadata("comment", "mine"), `metadata "comment" is not part of the format`},

		"graph is not JSON":       {metadata("graph", "{]"), "metadata graph: not valid JSON"},
		"graph is a list":         {metadata("graph", "[]"), "metadata graph: json: cannot unmarshal array"},
		"graph is null":           {metadata("graph", "null"), "metadata graph is not canonical at byte 0"},
		"two documents":           {metadata("labels", "[] []"), "metadata labels: not valid JSON"},
		"deep JSON":               {metadata("graph", strings.Repeat("[", 1<<20)), "metadata graph: not valid JSON"},
		"deep valid JSON":         {metadata("graph", strings.Repeat("[", 1<<20)+strings.Repeat("]", 1<<20)), "metadata graph: not valid JSON"},
		"deep JSON in a layer":    {graph(stem, `"x":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+","+stem), `unknown field "x"`},
		"spaces":                  {graph(stem, `"name": "stem"`), `metadata graph is not canonical at byte`},
		"duplicate key":           {graph(stem, `"name":"x",`+stem), `metadata graph is not canonical at byte 112: found`},
		"duplicate list":          {graph(`"layers":`, `"layers":[],"layers":`), "metadata graph is not canonical"},
		"other capitals":          {graph(stem, `"Name":"stem"`), "metadata graph is not canonical"},
		"unknown field of graph":  {graph(`"layers":`, `"device":"gpu","layers":`), `metadata graph: json: unknown field "device"`},
		"unknown field of layer":  {graph(stem, stem+`,"dilation":2`), `metadata graph: layer 0 "stem": json: unknown field "dilation"`},
		"field of another op":     {graph(`"op":"globalsum","inputs":["avg"]`, `"op":"globalsum","inputs":["avg"],"shift":1`), "metadata graph is not canonical"},
		"unknown field of labels": {func(c contents) { c.replace("labels", `"id":"n1"`, `"id":"n1","color":"red"`) }, `metadata labels: json: unknown field "color"`},
		"unknown operation":       {graph(`"op":"maxpool"`, `"op":"softmax"`), `layer 2 "max": unknown operation "softmax"; this program knows add, avgpool, concat, conv, dense, embedding, gather, globalsum, lookup, maxpool, mean, mul`},
		"no operation":            {graph(`"op":"maxpool",`, ``), `layer 2 "max": unknown operation ""`},
		"no window":               {graph(`"window":{"kh":1,"kw":1,"stride_h":2,"stride_w":2,"top":0,"left":0,"bottom":0,"right":0},`, ``), "metadata graph is not canonical"},
		"layer is a number":       {graph(`"layers":[`, `"layers":[7,`), `layer 0 "": json: cannot unmarshal number`},
		"no groups":               {graph(`"groups":2`, `"groups":0`), `layer 1 "add": 0 groups, want at least 1`},
		"negative groups":         {graph(`"groups":2`, `"groups":-2`), `layer 1 "add": -2 groups, want at least 1`},
		"number beyond its type":  {graph(`"shift":2`, `"shift":256`), `layer 0 "stem": json: cannot unmarshal number 256`},
		"fraction for an integer": {graph(`"groups":2`, `"groups":2.0`), `layer 1 "add": json: cannot unmarshal number 2.0`},
		"infinite scale in JSON":  {graph(`"scale":0,`, `"scale":1e40,`), "metadata graph: json: cannot unmarshal number 1e40"},
		"NaN in JSON":             {graph(`"scale":0,`, `"scale":NaN,`), "metadata graph: not valid JSON"},
		"too many means":          {func(c contents) { c.replace("preprocessing", `[1,1,1]`, `[1,1,1,1]`) }, "metadata preprocessing is not canonical"},

		"two layers of one name": {graph(`"name":"add"`, `"name":"stem"`), `layer 1 "stem": the name is used twice`},
		"two pools of one name":  {graph(`"name":"avg"`, `"name":"max"`), `layer 3 "max": the name is used twice`},
		"unknown input":          {graph(`"inputs":["add"]`, `"inputs":["sub"]`), `layer 2 "max": input "sub" does not exist before it`},
		"own input":              {graph(`"inputs":["add"]`, `"inputs":["max"]`), `layer 2 "max": input "max" does not exist before it`},
		"no layers":              {func(c contents) { c.Metadata["graph"] = cutLayers(c.Metadata["graph"]) }, "metadata graph is not canonical"},
		"gigantic labels":        {metadata("labels", "["+strings.Repeat(" ", 4<<20)+"]"), "metadata labels has 4194306 bytes, more than the limit of 4194304"},
		"a label's escape":       {metadata("labels", `[{"id":"n1","name":"a\u001b[31m"},{"id":"b","name":"b"},{"id":"c","name":"c"}]`), "class 0: \"a\\x1b[31m\" has the control character U+001B"},
		"a label of two lines":   {metadata("labels", `[{"id":"n1","name":"a"},{"id":"b","name":"b\nb"},{"id":"c","name":"c"}]`), "class 1: \"b\\nb\" has the control character U+000A"},
		"an id of two lines":     {metadata("labels", `[{"id":"n\n","name":"a"},{"id":"b","name":"b"},{"id":"c","name":"c"}]`), "class 0"},
		"unknown activation":     {metadata("activation", `"tanh"`), `activation is "tanh", want "softmax" or "sigmoid"`},
		"activation said twice":  {metadata("activation", `"softmax"`), "is not part of the format"},
		"class too few":          {metadata("labels", `[{"id":"n1","name":"x"}]`), "1 class names for 3 classes"},
		"bad preprocessing":      {func(c contents) { c.replace("preprocessing", `"crop":9`, `"crop":11`) }, "preprocess: resize 10, crop 11"},

		"geometry beyond tensor": {graph(`"in_channels":3`, `"in_channels":4`), `tensor "stem.weight" is I8[2 1 1 3], want I8[2 1 1 4]`},
		"product overflows":      {graph(`"in_channels":3`, `"in_channels":`+huge), `tensor "stem.weight" is I8[2 1 1 3], want I8[2 1 1 ` + huge + `]`},
		"negative channels":      {graph(`"in_channels":3`, `"in_channels":-3`), `tensor "stem.weight" is I8[2 1 1 3], want I8[2 1 1 -3]`},
		"gigantic shape":         {graph(`"output":{"shape":{"h":2,"w":2,"c":2}`, `"output":{"shape":{"h":`+huge+`,"w":`+huge+`,"c":2}`), `layer "max" (maxpool): shape ` + huge + `x` + huge + `x2 is out of range`},
		"negative shape":         {graph(`"output":{"shape":{"h":2,"w":2,"c":2}`, `"output":{"shape":{"h":-2,"w":-2,"c":2}`), `layer "max" (maxpool): shape -2x-2x2 is out of range`},
		"gigantic window":        {graph(`"kh":1,"kw":2`, `"kh":1,"kw":`+huge), `tensor "add.weight" is I8[2 1 2 1], want I8[2 1 ` + huge + ` 1]`},
		"gigantic padding":       {graph(`"right":1`, `"right":`+huge), `layer "add" (conv): padding`},
		"no stride":              {graph(`"stride_h":2,"stride_w":2,"top":0,"left":0,"bottom":0,"right":0},"groups"`, `"stride_h":0,"stride_w":2,"top":0,"left":0,"bottom":0,"right":0},"groups"`), `layer "stem" (conv): kernel 1x1 with stride 0x2: all must be positive`},
		"unknown type":           {graph(`"type":"int16"`, `"type":"int4"`), `layer "sum" (globalsum): output is 1x1x2 int4`},
		"residual beyond range":  {graph(`"residual":64`, `"residual":32768`), `layer "add" (conv): residual ratio 32768 is not in 1..32767`},

		"missing tensor":       {func(c contents) { c.tensor("add.bias").Name = "add.beta" }, `tensor "add.bias" is missing`},
		"extra tensor":         {func(c contents) { *c.File = withTensor(*c.File) }, `tensor "stem.extra" belongs to no layer`},
		"wrong type":           {func(c contents) { c.tensor("add.bias").DType = safetensors.F32 }, `tensor "add.bias" is F32[2], want I32[2]`},
		"wrong shape":          {func(c contents) { c.tensor("fc.weight").Shape = []int{2, 3} }, `tensor "fc.weight" is I8[2 3], want I8[3 2]`},
		"flat shape":           {func(c contents) { c.tensor("fc.weight").Shape = []int{6} }, `tensor "fc.weight" is I8[6], want I8[3 2]`},
		"weight -128":          {func(c contents) { c.tensor("fc.weight").Data[0] = 0x80 }, `layer "fc" (dense): class 0: a weight is -128`},
		"NaN scale":            {func(c contents) { c.float("add.scale", math.NaN()) }, `layer "add" (conv): channel 0: weight scale NaN is not positive and finite`},
		"infinite scale":       {func(c contents) { c.float("fc.scale", math.Inf(1)) }, `layer "fc" (dense): class 0: logit scale +Inf is not positive and finite`},
		"negative scale":       {func(c contents) { c.float("fc.scale", -1) }, `logit scale -1 is not positive and finite`},
		"accumulator overflow": {func(c contents) { c.tensor("stem.bias").Data[3] = 0x7f }, `layer "stem" (conv): channel 0: the accumulator can reach`},
		"negative multiplier":  {func(c contents) { c.tensor("add.multiplier").Data[3] = 0x80 }, `layer "add" (conv): channel 0: multiplier -2147483648 is not positive`},
	} {
		t.Run(name, func(t *testing.T) {
			c := takeApart(t, file)
			test.edit(c)
			_, err := q8.Decode(c.bytes())
			require.ErrorContains(t, err, test.want)
			require.Regexp(t, "^q8: ", err.Error())
		})
	}
}

// TestHostileInt16 is TestHostileContents for what int16 activations add.
// withOperations is tiny with operations that have no weights behind its stem.
func withOperations() *q8.Model {
	n := tiny()
	wide, pixel := n.Layers[0].Out, n.Layers[0].Out
	pixel.Shape.H, pixel.Shape.W = 1, 1
	joined := wide
	joined.Shape.C = 4
	table := make([]int8.Value, 256)
	for i := range table {
		table[i] = int8.Value(i)
	}
	stem, fc := n.Layers[0], n.Layers[5]
	fc.Inputs = []tensor.ID{6}
	fc.Op = &int8.Dense{In: 100, Out: 3, Weight: make([]int8.Value, 300), Bias: make([]int32, 3), Scale: []float32{1, 1, 1}}
	n.Layers = []int8.Layer{
		stem,
		{Name: "plus", Inputs: []tensor.ID{1, 1}, Out: wide, Op: &int8.Add{RatioA: 3, RatioB: 5, Shift: 3}},
		{Name: "curve", Inputs: []tensor.ID{2}, Out: wide, Op: &int8.Lookup{Table: table}},
		{Name: "means", Inputs: []tensor.ID{3}, Out: pixel, Op: &int8.Mean{Multiplier: 1 << 30, Shift: 1}},
		{Name: "gate", Inputs: []tensor.ID{3, 4}, Out: wide, Op: &int8.Mul{Multiplier: 1 << 29}},
		{Name: "join", Inputs: []tensor.ID{5, 1}, Out: joined, Op: int8.Concat{}},
		fc,
	}
	return rebuilt(n)
}

func TestHostileOperations(t *testing.T) {
	file := encode(t, withOperations())
	for name, test := range map[string]struct {
		edit func(contents)
		want string
	}{
		"ratio of zero":         {graph(`"ratio_a":3,`, ``), `layer "plus" (add): ratios 0 and 5 are not positive`},
		"negative ratio":        {graph(`"ratio_b":5`, `"ratio_b":-5`), `ratios 3 and -5 are not positive`},
		"ratio beyond int32":    {graph(`"ratio_b":5`, `"ratio_b":2147483648`), `cannot unmarshal number 2147483648`},
		"sum beyond int32":      {graph(`"ratio_b":5`, `"ratio_b":2147483647`), `layer "plus" (add): the sum can reach`},
		"ratio of a table":      {graph(`"name":"curve","op":"lookup","inputs":["plus"],`, `"name":"curve","op":"lookup","inputs":["plus"],"ratio_a":1,`), "metadata graph is not canonical"},
		"window of a sum":       {graph(`"inputs":["stem","stem"],`, `"inputs":["stem","stem"],"window":{},`), "metadata graph is not canonical"},
		"no multiplier":         {graph(`"multiplier":536870912,`, ``), `layer "gate" (mul): multiplier 0 is not positive`},
		"product of the joined": {graph(`"inputs":["curve","means"]`, `"inputs":["join","means"]`), `input "join" does not exist before it`},
		"requantized beyond":    {graph(`"multiplier":1073741824,"shift":1,`, `"multiplier":1073741824,"shift":24,`), `layer "means" (mean): the accumulator can reach 6375 << 24, beyond int32`},
		"joined with itself":    {graph(`"inputs":["gate","stem"]`, `"inputs":["gate","stem","gate"]`), `layer "join" (concat): inputs have 6 channels, the output has 4`},
		"nothing joined":        {graph(`"inputs":["gate","stem"]`, `"inputs":[]`), `layer "join" (concat): has no inputs`},
		"inputs of null":        {graph(`"inputs":["gate","stem"]`, `"inputs":null`), `layer "join" (concat): has no inputs`},
		"join of the image":     {graph(`"inputs":["gate","stem"]`, `"inputs":["gate","image"]`), `layer "join" (concat): input 1: input 1 has 3 zero points`},
		"dense on the image":    {graph(`"inputs":["join"]`, `"inputs":["image"]`), `layer "fc" (dense): 100 inputs and 3 outputs do not fit input 9x9x3`},
		"negative dilation":     {graph(`"right":0},"groups"`, `"right":0,"dilation_h":-1},"groups"`), `dilation -1x0 must be positive`},
		"dilation beyond sense": {graph(`"right":0},"groups"`, `"right":0,"dilation_w":`+huge+`},"groups"`), `layer "stem" (conv): kernel 1x1, dilation 0x` + huge + ` is out of range`},
		"dilation in vain":      {graph(`"right":0},"groups"`, `"right":0,"dilation_w":0},"groups"`), "metadata graph is not canonical"},
		"short table": {func(c contents) {
			table := c.tensor("curve.table")
			table.Shape, table.Data = []int{255}, table.Data[:255]
		}, `tensor "curve.table" is I8[255], want I8[256]`},
	} {
		t.Run(name, func(t *testing.T) {
			c := takeApart(t, file)
			test.edit(c)
			_, err := q8.Decode(c.bytes())
			require.ErrorContains(t, err, test.want)
			require.Regexp(t, "^q8: ", err.Error())
		})
	}
}

// withChannels is withOperations with tables of channels, and with channels that change places.
func withChannels() *q8.Model {
	n := withOperations()
	curve := n.Layers[2].Op.(*int8.Lookup)
	curve.Table, curve.Channel = append(curve.Table, make([]int8.Value, 256)...), []int32{0, 1}
	fc := n.Layers[6]
	fc.Inputs = []tensor.ID{7}
	n.Layers = append(n.Layers[:6], int8.Layer{Name: "swap", Inputs: []tensor.ID{6}, Out: n.Layers[5].Out, Op: &int8.Gather{Indices: []int32{3, 2, 0, 1}}}, fc)
	return rebuilt(n)
}

func TestHostileChannels(t *testing.T) {
	file := encode(t, withChannels())
	number := func(tensor string, at int, v int32) func(contents) {
		return func(c contents) { binary.LittleEndian.PutUint32(c.tensor(tensor).Data[4*at:], uint32(v)) }
	}
	cut := func(tensor string, bytes int, shape ...int) func(contents) {
		return func(c contents) {
			x := c.tensor(tensor)
			x.Shape, x.Data = shape, x.Data[:bytes]
		}
	}
	for name, test := range map[string]struct {
		edit func(contents)
		want string
	}{
		"channel beyond":         {number("swap.indices", 1, 4), `layer "swap" (gather): selects channel 4 of 4`},
		"channel before":         {number("swap.indices", 3, -1), `selects channel -1 of 4`},
		"too few channels":       {cut("swap.indices", 12, 3), `3 channels of 5x5x4 are no output 5x5x4`},
		"no channels":            {cut("swap.indices", 0, 0), `0 channels of 5x5x4 are no output`},
		"channels in two axes":   {cut("swap.indices", 16, 2, 2), `tensor "swap.indices" is I32[2 2], want I32[]`},
		"another zero point":     {graph(`"op":"gather","inputs":["join"],"output":{"shape":{"h":5,"w":5,"c":4},"type":"int8","scale":0.25,"zero":[-128]`, `"op":"gather","inputs":["join"],"output":{"shape":{"h":5,"w":5,"c":4},"type":"int8","scale":0.25,"zero":[-127]`), `differ in scale or zero point`},
		"table beyond":           {number("curve.channel", 1, 2), `layer "curve" (lookup): channel 1 has table 2 of 2`},
		"table before":           {number("curve.channel", 0, -1), `channel 0 has table -1 of 2`},
		"no tables":              {cut("curve.table", 0, 0), `channel 0 has table 0 of 0`},
		"half a table":           {cut("curve.table", 384, 384), `table has 384 values, want 256`},
		"channels without table": {cut("curve.channel", 4, 1), `tables of channels has 1 values, want 2`},
		"none told":              {graph(`"channels":true,`, ``), `tensor "curve.table" is I8[512], want I8[256]`},
		"channels of a sum":      {graph(`"ratio_a":3,"ratio_b":5,"shift":3,`, `"ratio_a":3,"ratio_b":5,"shift":3,"channels":true,`), `canonical`},
	} {
		t.Run(name, func(t *testing.T) {
			c := takeApart(t, file)
			test.edit(c)
			_, err := q8.Decode(c.bytes())
			require.ErrorContains(t, err, test.want)
			require.Regexp(t, "^q8: ", err.Error())
		})
	}
}

func TestHostileEmbedding(t *testing.T) {
	file := encode(t, taught())
	const lengths, inputs = `"pooled":0.6,"logits":0.8,"threshold":1,`, `"inputs":["sum","fc"]`
	out := `"output":{"shape":{"h":1,"w":1,"c":5},"type":"int16","scale":0.00011111111,"bound":9000}`
	of := func(class int, scale float64) func(contents) {
		return func(c contents) {
			binary.LittleEndian.PutUint32(c.tensor("embedding.scale").Data[4*class:], math.Float32bits(float32(scale)))
		}
	}
	cut := func(n int) func(contents) {
		return func(c contents) {
			scale := c.tensor("embedding.scale")
			scale.Shape, scale.Data = []int{n}, scale.Data[:4*n]
		}
	}
	for name, test := range map[string]struct {
		edit func(contents)
		want string
	}{
		"NaN scale":              {of(1, math.NaN()), `layer "embedding" (embedding): class 1: logit scale NaN is not positive and finite`},
		"no scale":               {of(0, 0), `class 0: logit scale 0 is not positive`},
		"negative scale":         {of(2, -1), `class 2: logit scale -1 is not positive`},
		"infinite scale":         {of(2, math.Inf(1)), `class 2: logit scale +Inf is not positive`},
		"too few scales":         {cut(2), `second input is 1x1x3 int32, want 2 int32 logits`},
		"no scales":              {cut(0), `has 2 inputs and 0 scales of logits`},
		"scales of two axes":     {func(c contents) { c.tensor("embedding.scale").Shape = []int{3, 1} }, `tensor "embedding.scale" is F32[3 1]`},
		"scales of another sort": {func(c contents) { c.tensor("embedding.scale").DType = safetensors.I32 }, `tensor "embedding.scale" is I32[3], want F32[3]`},
		"missing scales":         {func(c contents) { c.tensor("embedding.scale").Name = "embedding.scales" }, `tensor "embedding.scale" is missing`},
		"long first part":        {graph(lengths, `"pooled":60,"logits":0.8,"threshold":1,`), `lengths 60 and 0.8 of the two parts do not make one of 1`},
		"negative part":          {graph(lengths, `"pooled":0.6,"logits":-0.8,"threshold":1,`), `lengths 0.6 and -0.8`},
		"no parts":               {graph(lengths, `"threshold":1,`), `lengths 0 and 0`},
		"negative threshold":     {graph(`"threshold":1`, `"threshold":-1`), `threshold -1 is not finite and at least 0`},
		"threshold of zero":      {graph(`"threshold":1`, `"threshold":0`), "metadata graph is not canonical"},
		"threshold beyond":       {graph(`"threshold":1`, `"threshold":1e39`), "cannot unmarshal number 1e39"},
		"threshold of a sum":     {graph(`"op":"globalsum","inputs":["avg"]`, `"op":"globalsum","inputs":["avg"],"threshold":1`), "metadata graph is not canonical"},
		"one input":              {graph(inputs, `"inputs":["sum"]`), `has 1 inputs and 3 scales of logits, want features, or features and logits`},
		"three inputs":           {graph(inputs, `"inputs":["sum","fc","fc"]`), `has 3 inputs and 3 scales`},
		"no inputs":              {graph(inputs, `"inputs":[]`), `has 0 inputs and 3 scales`},
		"inputs in other order":  {graph(inputs, `"inputs":["fc","sum"]`), `layer "embedding" (embedding): first input is int32, want int8 or int16`},
		"features twice":         {graph(inputs, `"inputs":["sum","sum"]`), `second input is 1x1x2 int16, want 3 int32 logits`},
		"features of a plane":    {graph(inputs, `"inputs":["max","fc"]`), `features are 2x2x2, want one pixel`},
		"features of the image":  {graph(inputs, `"inputs":["image","fc"]`), `features are 9x9x3, want one pixel`},
		"logits to a dense":      {graph(`"inputs":["embedding"]`, `"inputs":["fc"]`), `input "fc": only an embedding can read`},
		"embedding at the end":   {graph(`,{"name":"head","op":"dense","inputs":["embedding"],"in_channels":5,"out_channels":3,"output":{"shape":{"h":1,"w":1,"c":3},"type":"int32","scale":0}}`, ``), `belongs to no layer`},
		"other channels":         {graph(out, strings.Replace(out, `"c":5`, `"c":4`, 1)), `output is 1x1x4 int16 of scale 0.00011111111, want 1x1x5 int16`},
		"gigantic output":        {graph(out, strings.Replace(out, `"c":5`, `"c":`+huge, 1)), `shape 1x1x` + huge + ` is out of range`},
		"another scale":          {graph(out, strings.Replace(out, `0.00011111111`, `0.5`, 1)), `of scale 0.5, want 1x1x5 int16 of scale 0.00011111111`},
		"no bound":               {graph(out, strings.Replace(out, `,"bound":9000`, ``, 1)), `has bound 0, want 1..32767`},
		"bound beyond int16":     {graph(out, strings.Replace(out, `9000`, `32768`, 1)), `has bound 32768, want 1..32767`},
		"int8 output":            {graph(out, `"output":{"shape":{"h":1,"w":1,"c":5},"type":"int8","scale":1,"zero":[0]}`), `layer "embedding" (embedding): `},
		"head beyond int32":      {func(c contents) { copy(c.tensor("head.bias").Data, []byte{0xff, 0xff, 0xff, 0x7f}) }, `layer "head" (dense): class 0: the accumulator can reach`},
		"a base's escape":        {func(c contents) { c.replace("provenance", `"base_sha256":"fedc"`, `"base_sha256":"\u001b"`) }, "has control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			c := takeApart(t, file)
			test.edit(c)
			_, err := q8.Decode(c.bytes())
			require.ErrorContains(t, err, test.want)
			require.Regexp(t, "^q8: ", err.Error())
		})
	}
}

func TestHostileInt16(t *testing.T) {
	file := encode(t, withInt16())
	stem := `"output":{"shape":{"h":5,"w":5,"c":2},"type":"int16","scale":0.25,"bound":9000}`
	for name, test := range map[string]struct {
		edit func(contents)
		want string
	}{
		"no bound":                 {graph(stem, `"output":{"shape":{"h":5,"w":5,"c":2},"type":"int16","scale":0.25}`), `layer "stem" (conv): output has bound 0, want 1..32767`},
		"bound beyond int16":       {graph(stem, strings.Replace(stem, "9000", "32768", 1)), `layer "stem" (conv): output has bound 32768, want 1..32767`},
		"negative bound":           {graph(stem, strings.Replace(stem, "9000", "-1", 1)), `layer "stem" (conv): output has bound -1`},
		"bound beyond int32":       {graph(stem, strings.Replace(stem, "9000", "4294967296", 1)), `cannot unmarshal number`},
		"zero point":               {graph(stem, strings.Replace(stem, `"bound"`, `"zero":[0],"bound"`, 1)), `layer "stem" (conv): output is int16 and has 1 zero points, want none`},
		"int8 with a bound":        {graph(stem, strings.Replace(stem, `"type":"int16","scale":0.25`, `"type":"int8","scale":0.25,"zero":[0]`, 1)), `layer "stem" (conv): output is int8, which has no bound`},
		"unknown sign":             {graph(stem, strings.Replace(stem, `9000}`, `9000,"non_negative":2}`, 1)), `cannot unmarshal number`},
		"sign in vain":             {graph(stem, strings.Replace(stem, `9000}`, `9000,"non_negative":false}`, 1)), "metadata graph is not canonical"},
		"residual shift too large": {graph(`"residual_shift":7`, `"residual_shift":31`), `layer "add" (conv): residual shift 31 is not in 0..30`},
		"residual shift beyond 8":  {graph(`"residual_shift":7`, `"residual_shift":256`), `cannot unmarshal number 256`},
		"shift without residual":   {graph(`"shift":2,`, `"shift":2,"residual_shift":1,`), `layer "stem" (conv): residual shift 1 is not in 0..0`},
		"pool of int8":             {graph(`"name":"avg","op":"avgpool","inputs":["max"]`, `"name":"avg","op":"avgpool","inputs":["image"]`), `layer "avg" (avgpool): input has 3 zero points`},
		"sum beyond int16":         {graph(`"name":"sum","op":"globalsum","inputs":["avg"]`, `"name":"sum","op":"globalsum","inputs":["max"]`), `layer "sum" (globalsum): the sum over 2x2 pixels reaches 36000 and does not fit int16; at most 3 pixels do`},
		"classifier of a plane":    {graph(`"inputs":["sum"]`, `"inputs":["max"]`), `layer "fc" (dense): 2 inputs and 3 outputs do not fit input 2x2x2`},
		"accumulator overflow":     {func(c contents) { copy(c.tensor("add.bias").Data[2:], []byte{0xff, 0x7f}) }, `layer "add" (conv): channel 0: the accumulator can reach`},
	} {
		t.Run(name, func(t *testing.T) {
			c := takeApart(t, file)
			test.edit(c)
			_, err := q8.Decode(c.bytes())
			require.ErrorContains(t, err, test.want)
			require.Regexp(t, "^q8: ", err.Error())
		})
	}
}

func cutLayers(graph string) string {
	before, _, _ := strings.Cut(graph, `"layers":`)
	return before + `"layers":[]}`
}

func withTensor(f safetensors.File) safetensors.File {
	f.Tensors = append(f.Tensors, safetensors.Tensor{Name: "stem.extra", DType: safetensors.U8, Shape: []int{1}, Data: []byte{1}})
	return f
}

// raw builds a safetensors file from its header.
func raw(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// reheader changes the header of a good file and seals the file again.
func reheader(t testing.TB, b []byte, old, new string) []byte {
	n := binary.LittleEndian.Uint64(b)
	header := string(b[8 : 8+n])
	require.Equal(t, 1, strings.Count(header, old), "%q in %s", old, header)
	changed := raw(strings.Replace(header, old, new, 1), b[8+n:]...)
	return seal(changed, []byte(takeApart(t, b).Metadata["sha256"]))
}

// TestHostileFiles covers what is wrong below the level of contents.
func TestHostileFiles(t *testing.T) {
	file := encode(t, tiny())
	require.Equal(t, file, reheader(t, file, `"stem.bias"`, `"stem.bias"`))
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty":                {nil, "the file is empty"},
		"one byte":             {[]byte{1}, "not a q8 model, or cut short: safetensors: the file has 1 bytes"},
		"text":                 {[]byte("These are not the weights you are looking for.\n"), "not a q8 model, or cut short: safetensors: the header claims"},
		"web page":             {[]byte("\n<!DOCTYPE html><html><body>404</body></html>"), "the file is a web page, not a model: download the model itself"},
		"Git LFS pointer":      {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"), "the file is a Git LFS pointer, not a model: run git lfs pull"},
		"only a length":        {raw(""), "the header does not begin with {"},
		"header of 2^64 bytes": {bytes.Repeat([]byte{0xff}, 64), "the header claims 18446744073709551615 bytes, more than the limit"},
		"header beyond file":   {append([]byte{99, 0, 0, 0, 0, 0, 0, 0}, "{}"...), "the header claims 99 bytes, the file has only 2 more"},
		"empty header":         {raw("{}"), "not a q8 model but another safetensors file"},
		"deep header":          {raw("{" + strings.Repeat(`"a":{`, 1<<18)), "the header is not valid JSON"},
		"deep valid header":    {raw(`{"a":` + strings.Repeat("[", 1<<18) + strings.Repeat("]", 1<<18) + "}"), "the header is not valid JSON"},
		"many tensors":         {raw(manyTensors(20_000)), "another safetensors file"},
		"gigantic tensor":      {raw(`{"w":{"dtype":"I8","shape":[` + huge + `,` + huge + `,` + huge + `],"data_offsets":[0,0]}}`), `tensor "w": shape [` + huge + ` ` + huge + ` ` + huge + `] overflows`},
		"claimed gigabytes":    {raw(`{"w":{"dtype":"I8","shape":[2147483647],"data_offsets":[0,2147483647]}}`), `tensor "w": data ends at 2147483647, the file has only 0 bytes of data`},

		"negative dimension":  {reheader(t, file, `"shape":[2,1,2,1]`, `"shape":[-2,1,-2,1]`), `tensor "add.weight": key "shape": -2 is no valid dimension`},
		"duplicate tensor":    {reheader(t, file, `"stem.bias"`, `"fc.bias"`), `tensor "fc.bias" appears twice`},
		"duplicate metadata":  {reheader(t, file, `"version":"1"`, `"version":"1","version":"1"`), `key "version" appears twice`},
		"unknown dtype":       {reheader(t, file, `"I8","shape":[2,1,2,1]`, `"I4","shape":[2,1,2,1]`), `unknown element type "I4"`},
		"metadata of numbers": {reheader(t, file, `"version":"1"`, `"version":1`), "found 1, want a string"},
		"escaped checksum":    {escapeChecksum(t, file), "metadata sha256 is missing or no checksum"},
		"padding changed":     {bytes.Replace(file, []byte("} "), []byte("}\n"), 1), "the file is damaged"},
		"trailing byte":       {append(bytes.Clone(file), 0), "1 bytes follow the last tensor"},
		"two files":           {append(bytes.Clone(file), file...), "bytes follow the last tensor"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := q8.Decode(test.file)
			require.ErrorContains(t, err, test.want)
			path := write(t, test.file)
			_, err = q8.Open(path)
			require.ErrorContains(t, err, "q8: "+path+": ")
			require.ErrorContains(t, err, test.want)
		})
	}
}

func escapeChecksum(t testing.TB, b []byte) []byte {
	sum := takeApart(t, b).Metadata["sha256"]
	n := binary.LittleEndian.Uint64(b)
	header := strings.Replace(string(b[8:8+n]), sum, fmt.Sprintf(`\u%04x`, sum[0])+sum[1:], 1)
	return raw(header, b[8+n:]...)
}

func manyTensors(n int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		fmt.Fprintf(&b, `"%d":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},`, i)
	}
	return strings.TrimSuffix(b.String(), ",") + "}"
}

// TestOverlap moves one tensor onto or away from its neighbour.
func TestOverlap(t *testing.T) {
	file := encode(t, tiny())
	f := takeApart(t, file)
	first, second := f.Tensors[0], f.Tensors[1]
	old := fmt.Sprintf(`"data_offsets":[%d,%d]`, len(first.Data), len(first.Data)+len(second.Data))
	for _, begin := range []int{0, len(first.Data) - 1, len(first.Data) + 1} {
		moved := fmt.Sprintf(`"data_offsets":[%d,%d]`, begin, begin+len(second.Data))
		_, err := q8.Decode(reheader(t, file, old, moved))
		require.ErrorContains(t, err, "tensors must neither overlap nor leave gaps")
	}
	_, err := q8.Decode(reheader(t, file, old, `"data_offsets":[-1,7]`))
	require.ErrorContains(t, err, "want two offsets in bytes")
	_, err = q8.Decode(reheader(t, file, old, `"data_offsets":[18446744073709551615,7]`))
	require.ErrorContains(t, err, "want two offsets in bytes")
}

// TestEveryBitFlip flips all bits of the file, or with -short one of each byte.
func TestEveryBitFlip(t *testing.T) {
	file := encode(t, tiny())
	for i := range file {
		for n := range rounds(8, 1) {
			bit := (i + n) % 8
			file[i] ^= 1 << bit
			_, err := q8.Decode(file)
			require.Error(t, err, "bit %d of byte %d", bit, i)
			file[i] ^= 1 << bit
		}
	}
	_, err := q8.Decode(file)
	require.NoError(t, err)
}

func TestEveryTruncation(t *testing.T) {
	file := encode(t, tiny())
	for n := range file {
		_, err := q8.Decode(file[:n:n])
		require.Error(t, err, "the first %d bytes", n)
	}
}

// TestAllocations bounds what a file can make the loader allocate, counting
// everything ever allocated; what is live at once is far less.
func TestAllocations(t *testing.T) {
	size := rounds(1<<20, 1<<17) // bytes, about
	list := func(element string) string {
		return "[" + strings.Repeat(element+",", size/(len(element)+1)) + element + "]"
	}
	file := encode(t, tiny())
	replace := func(key, value string) []byte {
		c := takeApart(t, file)
		c.Metadata[key] = value
		return c.bytes()
	}
	clones := takeApart(t, file)
	_, layers, _ := strings.Cut(clones.Metadata["graph"], `"layers":[`)
	stem, _, _ := strings.Cut(layers, `,{"name":"add"`)
	clones.replace("graph", `"layers":[`, `"layers":[`+strings.Repeat(stem+",", size/len(stem)))
	for name, hostile := range map[string][]byte{
		"layers of nothing":   replace("graph", `{"layers":`+list("{}")+"}"),
		"layers of numbers":   replace("graph", `{"layers":`+list("0")+"}"),
		"inputs of nothing":   replace("graph", `{"layers":[{"name":"x","inputs":`+list(`""`)+"}]}"),
		"zero points":         replace("graph", `{"input":{"zero":`+list("0")+"}}"),
		"classes of nothing":  replace("labels", list("{}")),
		"one layer, cloned":   clones.bytes(),
		"metadata keys":       raw(`{"__metadata__":{` + manyKeys(size/10) + `}}`),
		"tensors of nothing":  raw(manyTensors(size / 50)),
		"dimensions":          raw(`{"w":{"dtype":"I8","shape":` + list("1") + `,"data_offsets":[0,1]}}`),
		"claims of gigabytes": raw(strings.ReplaceAll(manyTensors(size/60), "[0]", "[2147483647]")),
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			got := allocated(func() { _, err = q8.Decode(hostile) })
			t.Logf("%.1f bytes allocated per byte of file: %.200s", float64(got)/float64(len(hostile)), err)
			require.Error(t, err)
			require.Less(t, got, uint64(128*len(hostile)))
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":"",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// TestWeightsCostNoMemory decodes a network that is nearly all weights.
func TestWeightsCostNoMemory(t *testing.T) {
	n := tiny()
	conv := n.Layers[0].Op.(*int8.Conv)
	conv.OutC = 40_000
	conv.Weight = make([]int8.Value, 40_000*3)
	conv.Bias, conv.Multiplier, conv.Scale = make([]int32, 40_000), make([]int32, 40_000), make([]float32, 40_000)
	for i := range conv.OutC {
		conv.Multiplier[i], conv.Scale[i] = 1, 1
	}
	n.Layers[0].Out.Shape.C = 40_000
	add := n.Layers[1].Op.(*int8.Conv)
	add.Groups, add.InC, add.KW, add.Right = 1, 40_000, 2, 1
	add.Weight = make([]int8.Value, 2*2*40_000)
	n.Layers[1].Inputs, add.Residual = []tensor.ID{1}, 0
	file := encode(t, rebuilt(n))
	weights := len(conv.Weight) + len(add.Weight)
	copied := 3 * 4 * conv.OutC
	got := allocated(func() {
		_, err := q8.Decode(file)
		require.NoError(t, err)
	})
	require.Less(t, got, uint64(copied+100_000), "%d bytes of weights are views, %d bytes are copied", weights, copied)
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// check demands that a file is refused, or that its network is valid and
// survives being written and read again.
func check(t *testing.T, b []byte) {
	n, err := q8.Decode(b)
	if err != nil {
		return
	}
	_, err = int8.NewNetwork(n.Name, n.Input, n.Layers)
	require.NoError(t, err)
	again, err := q8.Decode(encode(t, n))
	require.NoError(t, err)
	require.Equal(t, n, again)
}

// FuzzDecode changes bytes of whole files, cuts them short, and tries them with the
// checksum they have and with the right one. The fuzzer sees the changes alone: it
// would spend its time on making whole files smaller.
func FuzzDecode(f *testing.F) {
	files := [][]byte{encode(f, tiny()), encode(f, withInt16()), encode(f, withOperations()), encode(f, taught()), raw(manyTensors(3)),
		raw(`{"__metadata__":{"format":"q8","version":"1","sha256":"` + string(zeros) + `"}}`)}
	for seed := range uint64(4) {
		files = append(files, encode(f, nettest.Model(seed, seed%2 == 1)), encode(f, nettest.OperationsModel(seed)), encode(f, nettest.Channels(seed)), encode(f, nettest.Taught(seed)))
	}
	for i := range files {
		f.Add(byte(i), uint16(0), []byte{0, 0, 0})
	}
	f.Add(byte(0), uint16(100), []byte{0, 9, 1, 1, 0, 7})
	f.Fuzz(func(t *testing.T, file byte, cut uint16, edits []byte) {
		b := bytes.Clone(files[int(file)%len(files)])
		b = b[:max(1, len(b)-int(cut))]
		for ; len(edits) >= 3; edits = edits[3:] { // where, and how
			b[int(binary.BigEndian.Uint16(edits))%len(b)] ^= edits[2]
		}
		check(t, b)
		if sum := checksum(b); sum != nil {
			check(t, seal(b, sum))
		}
	})
}

// FuzzMetadata mutates a layer or another JSON document, and the tensors' data, of a
// file that is otherwise well formed.
func FuzzMetadata(f *testing.F) {
	files := []contents{takeApart(f, encode(f, tiny())), takeApart(f, encode(f, withInt16())), takeApart(f, encode(f, withOperations())), takeApart(f, encode(f, withChannels())), takeApart(f, encode(f, taught()))}
	type place struct{ key, text string }
	places := make([][]place, len(files))
	for i, c := range files {
		var graph struct{ Layers []json.RawMessage }
		require.NoError(f, json.Unmarshal([]byte(c.Metadata["graph"]), &graph))
		for _, layer := range graph.Layers {
			places[i] = append(places[i], place{"graph", string(layer)})
		}
		for _, key := range []string{"preprocessing", "labels", "provenance"} {
			places[i] = append(places[i], place{key, c.Metadata[key]})
		}
		for j, p := range places[i] {
			f.Add(byte(i), byte(j), p.text, []byte{1, 0})
		}
	}
	f.Fuzz(func(t *testing.T, file, at byte, text string, data []byte) {
		i := int(file) % len(files)
		p := places[i][int(at)%len(places[i])]
		c := contents{&safetensors.File{Metadata: maps.Clone(files[i].Metadata), Tensors: slices.Clone(files[i].Tensors)}, t}
		c.Metadata[p.key] = strings.Replace(c.Metadata[p.key], p.text, text, 1)
		for ; len(data) >= 2; data = data[2:] { // each pair of bytes changes one byte of one tensor
			x := &c.Tensors[int(data[0])%len(c.Tensors)]
			x.Data = bytes.Clone(x.Data)
			x.Data[int(data[1])%len(x.Data)] ^= data[1]
		}
		c.Metadata["sha256"] = string(zeros)
		var b bytes.Buffer
		if safetensors.Write(&b, c.Metadata, c.Tensors) == nil {
			check(t, seal(b.Bytes(), zeros))
		}
	})
}
