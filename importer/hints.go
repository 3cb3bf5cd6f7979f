package importer

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"edgeclassify/importer/resnet"
)

// hint recognizes an architecture by a tensor's name and makes it in Python.
type hint struct {
	name *regexp.Regexp
	what string
	make string // with %d for the number of classes
	imp  string // modules
}

func hints() []hint {
	h := func(name, what, make, imp string) hint {
		return hint{regexp.MustCompile(`(^|\.)` + name + `$`), what, make, imp}
	}
	vision := func(name, what, make string) hint {
		return h(name, "a "+what+" of torchvision", "torchvision.models."+make+"(num_classes=%d)", "torchvision")
	}
	return []hint{
		vision(`features\.1\.conv\.0\.0\.weight`, "MobileNetV2", "mobilenet_v2"),
		vision(`features\.1\.block\.0\.0\.weight`, "MobileNetV3", "mobilenet_v3_small"),
		vision(`features\.3\.squeeze\.weight`, "SqueezeNet", "squeezenet1_1"),
		vision(`features\.denseblock1\.denselayer1\.norm1\.weight`, "DenseNet", "densenet121"),
		vision(`inception3a\.branch1\.conv\.weight`, "GoogLeNet", "googlenet"),
		vision(`Mixed_5b\.branch1x1\.conv\.weight`, "Inception v3", "inception_v3"),
		vision(`features\.1\.0\.block\.0\.0\.weight`, "EfficientNet", "efficientnet_b0"),
		vision(`features\.1\.0\.block\.0\.weight`, "ConvNeXt", "convnext_tiny"),
		vision(`layers\.8\.0\.layers\.0\.weight`, "MNASNet", "mnasnet1_0"),
		vision(`stage2\.0\.branch1\.0\.weight`, "ShuffleNetV2", "shufflenet_v2_x1_0"),
		vision(`trunk_output\.block1\.block1-0\.proj\.0\.weight`, "RegNet", "regnet_y_400mf"),
		vision(`encoder\.layers\.encoder_layer_0\.ln_1\.weight`, "vision transformer", "vit_b_16"),
		vision(`features\.(28|34|40)\.weight`, "VGG", "vgg16"),
		vision(`features\.10\.weight`, "AlexNet or a small VGG", "alexnet"),
		h(`conv_stem\.weight`, "a MobileNet or EfficientNet of timm", `timm.create_model("NAME", num_classes=%d)`, "timm"),
		h(`_conv_stem\.weight`, "an EfficientNet of efficientnet_pytorch or efficientnet_lite_pytorch", `efficientnet_lite_pytorch.EfficientNet.from_name("efficientnet-lite0", override_params={"num_classes": %d})`, "efficientnet_lite_pytorch"),
		h(`blocks\.0\.attn\.qkv\.weight`, "a vision transformer of timm", `timm.create_model("NAME", num_classes=%d)`, "timm"),
	}
}

// recognize says what the tensors look like, and the command that exports such a
// network as ONNX.
func (d stateDict) recognize(c resnet.Config) (what, command string) {
	if c.ModelType != "" {
		return "is " + c.ModelType + " of transformers", fmt.Sprintf("optimum-cli export onnx --task image-classification --model %s onnx/", filepath.Dir(d.path))
	}
	what, make, imp := "is a network of unknown names", "YourNetwork(num_classes=%d)", "your_module"
	for _, h := range hints() {
		if slices.ContainsFunc(slices.Collect(maps.Keys(d.tensors)), h.name.MatchString) {
			what, make, imp = "looks like "+h.what, h.make, h.imp
			break
		}
	}
	if c.Architecture != "" {
		what, make, imp = "is "+c.Architecture+" of timm", fmt.Sprintf("timm.create_model(%q, num_classes=%%d)", c.Architecture), "timm"
	}
	state := d.load
	if prefix := d.prefix(); prefix != "" {
		state = fmt.Sprintf("{k.removeprefix(%q): v for k, v in %s.items()}", prefix, state)
	}
	if strings.HasPrefix(d.load, "safetensors.") {
		imp = strings.TrimPrefix(imp+", safetensors.torch", ", ")
	}
	python := fmt.Sprintf("import torch, %s; m = "+make+"; m.load_state_dict(%s); torch.onnx.export(m.eval(), torch.zeros(1, 3, 224, 224), \"model.onnx\")", imp, d.classCount(), state)
	return what, fmt.Sprintf("python3 -c '%s'", python)
}

// prefix is what all names begin with, up to a dot.
func (d stateDict) prefix() string {
	names := slices.Sorted(maps.Keys(d.tensors))
	first, last := names[0], names[len(names)-1]
	n := 0
	for n < min(len(first), len(last)) && first[n] == last[n] {
		n++
	}
	return first[:strings.LastIndex(first[:n], ".")+1]
}

// classCount is the number of outputs of the last fully connected layer, by name.
func (d stateDict) classCount() int {
	n := 0
	for _, name := range slices.SortedFunc(maps.Keys(d.tensors), natural) {
		if s := d.tensors[name].Shape; len(s) == 2 && strings.HasSuffix(name, "weight") {
			n = s[0]
		}
	}
	return cmp.Or(n, 1000)
}
