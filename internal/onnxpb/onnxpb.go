// Package onnxpb is ONNX's schema in Go. onnx.proto is that of the Python package
// onnx 1.23.2, under the Apache License 2.0
// (https://github.com/onnx/onnx/blob/main/LICENSE).
//
// To generate it takes Debian 12's protobuf-compiler; the plugin is of the version
// in go.mod.
package onnxpb

//go:generate go build -o ../../bin/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
//go:generate protoc --plugin=../../bin/protoc-gen-go --go_out=. --go_opt=paths=source_relative --go_opt=Monnx.proto=edgeclassify/internal/onnxpb onnx.proto
