package peers

import (
	"bytes"
	_ "embed"
	"fmt"
	"os/exec"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

//go:embed tflite.py
var tfliteScript string

// WriteTFLite writes a .q8 file as a TFLite model that takes TFLiteInput.
func WriteTFLite(folder, q8, file string) error {
	python, err := python(folder)
	if err != nil {
		return err
	}
	if text, err := exec.Command(python, "-c", tfliteScript, q8, file).CombinedOutput(); err != nil {
		return fmt.Errorf("%s as a TFLite model: %w: %s", q8, err, bytes.TrimSpace(text))
	}
	return nil
}

// TFLiteInput surrounds a picture with the first convolution's padding, and takes 128
// off: the bytes are those of int8.
func TFLiteInput(n *int8.Network, rgb []uint8) []uint8 {
	var w tensor.Window
	for _, l := range n.Layers {
		if c, ok := l.Op.(*int8.Conv); ok && l.Inputs[0] == tensor.Input {
			w = c.Window
		}
	}
	s := n.Input.Shape
	pixel := make([]uint8, s.C)
	for c := range pixel {
		pixel[c] = uint8(n.Input.ZeroAt(c))
	}
	width := w.Left + s.W + w.Right
	padded := slices.Repeat(pixel, (w.Top+s.H+w.Bottom)*width)
	for row := range s.H {
		to := padded[((w.Top+row)*width+w.Left)*s.C:]
		for i, v := range rgb[row*s.W*s.C : (row+1)*s.W*s.C] {
			to[i] = v - 128
		}
	}
	return padded
}
