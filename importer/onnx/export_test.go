package onnx

import "edgeclassify/models"

// Parse is Import without the file.
func Parse(b []byte, o models.ImportOptions) (*models.Imported, error) {
	return parse(b, "net", "testdata", o)
}
