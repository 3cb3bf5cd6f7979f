package preprocess

import "slices"

// Caffe is the preprocessing of Keras' ResNet50 and VGG weights: BGR, mean
// subtracted, no scaling.
func Caffe() Spec {
	s := imageNet([3]float32{103.939, 116.779, 123.68}, [3]float32{1, 1, 1})
	s.Order = BGR
	return s
}

// KerasTF scales pixels to -1..1, as Keras does for MobileNets, Inception and
// ResNetV2.
func KerasTF() Spec { return imageNet(all(127.5), all(127.5)) }

// KerasTorch is the preprocessing of Keras' DenseNets: torchvision's mean and
// standard deviation.
func KerasTorch() Spec {
	return imageNet([3]float32{123.675, 116.28, 103.53}, [3]float32{58.395, 57.12, 57.375})
}

// Torchvision is the preprocessing of torchvision's ImageNet weights.
func Torchvision() Spec {
	s := KerasTorch()
	s.Resize.Floor = true
	return s
}

// Timm is what timm does unless a network's config.json says otherwise.
func Timm() Spec {
	s := Torchvision()
	s.Filter = Bicubic
	return s
}

// Unit scales pixels to 0..1.
func Unit() Spec { return imageNet(all(0), all(255)) }

// Raw leaves pixels from 0 to 255.
func Raw() Spec { return imageNet(all(0), all(1)) }

// TeachableMachine takes the largest square in the middle and scales pixels to -1..1.
func TeachableMachine() Spec {
	s := KerasTF()
	s.Resize = Short(224)
	return s
}

// imageNet resizes and crops as is usual for ImageNet.
func imageNet(mean, std [3]float32) Spec {
	return Spec{Resize: Short(256), Crop: Square(224), Filter: Bilinear, Order: RGB, Mean: mean, Std: std}
}

// all has the same value for every channel.
func all(v float32) [3]float32 { return [3]float32{v, v, v} }

type preset struct {
	name string
	spec Spec
}

func presets() []preset {
	return []preset{
		{"torchvision", Torchvision()}, {"keras-caffe", Caffe()}, {"keras-tf", KerasTF()}, {"keras-torch", KerasTorch()},
		{"unit", Unit()}, {"raw", Raw()}, {"teachable-machine", TeachableMachine()}, {"timm", Timm()},
	}
}

// Presets are the names of well-known ways of preprocessing.
func Presets() []string {
	var names []string
	for _, p := range presets() {
		names = append(names, p.name)
	}
	return names
}

// Preset is a well-known way of preprocessing, if there is one of that name.
func Preset(name string) (Spec, bool) {
	all := presets()
	i := slices.IndexFunc(all, func(p preset) bool { return p.name == name })
	if i < 0 {
		return Spec{}, false
	}
	return all[i].spec, true
}
