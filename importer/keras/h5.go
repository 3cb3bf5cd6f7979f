package keras

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/hdf5"
	"edgeclassify/models"
)

// readH5 reads a complete model that Keras saved as .h5: the topology in the
// attribute model_config, the weights by layers in the group model_weights.
//
// Source of the format: keras/src/legacy/saving/legacy_h5_format.py.
func readH5(s source, o models.ImportOptions) (*models.Imported, error) {
	file, err := hdf5.Parse(s.data)
	if err != nil {
		return nil, err
	}
	root, err := file.Root()
	if err != nil {
		return nil, err
	}
	text, err := root.Strings("model_config")
	if err != nil {
		return nil, err
	}
	if len(text) != 1 {
		return nil, noTopology(root)
	}
	config, err := parseObject([]byte(text[0]))
	if err != nil {
		return nil, fmt.Errorf("attribute model_config: %w", err)
	}
	group, err := root.Object("model_weights")
	if err != nil {
		return nil, err
	}
	if group == nil {
		return nil, errors.New("has no weights: save the model with model.save")
	}
	arrays := map[string]weights.Array{}
	for _, name := range group.Links() {
		if err := readLayer(group, name, arrays); err != nil {
			return nil, fmt.Errorf("layer %q: %w", name, err)
		}
	}
	version, err := root.Strings("keras_version")
	if err != nil {
		return nil, err
	}
	return build(config, strings.Join(version, ""), arrays, newByName(arrays, true), o)
}

// noTopology says what a file without one is.
func noTopology(root *hdf5.Object) error {
	names, _ := attribute(root, "layer_names")
	weightsOnly := len(names) > 0
	for _, name := range root.Links() {
		weightsOnly = weightsOnly || name == "layers" || name == "_layer_checkpoint_dependencies"
	}
	if weightsOnly {
		return errors.New("it holds weights without the network (save_weights): save the whole model with model.save(\"model.keras\")")
	}
	return errors.New("it is an HDF5 file, but not a model of Keras (it has no model_config)")
}

// attribute is a list of strings, which Keras cuts into parts NAME0, NAME1, ... where
// it is long.
func attribute(o *hdf5.Object, name string) ([]string, error) {
	all, err := o.Strings(name)
	if all != nil || err != nil {
		return all, err
	}
	for i := 0; ; i++ {
		part, err := o.Strings(fmt.Sprintf("%s%d", name, i))
		if err != nil || part == nil {
			return all, err
		}
		all = append(all, part...)
	}
}

// readLayer adds the tensors of a layer, or of a model within the model, as
// "layer/" and their names, which often begin with the layer's too.
func readLayer(group *hdf5.Object, name string, arrays map[string]weights.Array) error {
	layer, err := group.Object(name)
	if err != nil {
		return err
	}
	names, err := attribute(layer, "weight_names")
	if err != nil {
		return err
	}
	for _, weight := range names {
		o, err := layer.Object(strings.Split(weight, "/")...)
		if err == nil && o == nil {
			err = errors.New("is missing")
		}
		var a weights.Array
		if err == nil {
			a, err = array(o)
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w", weight, err)
		}
		arrays[name+"/"+strings.TrimSuffix(weight, ":0")] = a
	}
	return nil
}

// array is the tensor of a dataset.
func array(o *hdf5.Object) (weights.Array, error) {
	data, err := o.Bytes()
	if err != nil {
		return weights.Array{}, err
	}
	type element struct {
		class hdf5.Class
		size  int
	}
	types := map[element]weights.DType{
		{hdf5.Float, 8}: weights.Float64, {hdf5.Float, 4}: weights.Float32, {hdf5.Float, 2}: weights.Float16, {hdf5.BFloat16, 2}: weights.BFloat16,
		{hdf5.Integer, 8}: weights.Int64, {hdf5.Integer, 4}: weights.Int32, {hdf5.Integer, 2}: weights.Int16, {hdf5.Integer, 1}: weights.Int8,
	}
	return weights.Array{DType: types[element{o.Type.Class, o.Type.Size}], Stored: o.Type.String(), Shape: o.Shape, Data: data}, nil
}

// readArchive reads a .keras file: the topology in config.json, the weights in
// model.weights.h5, numbered within groups by the classes of layers.
//
// Source of the format: keras/src/saving/saving_lib.py.
func readArchive(s source, o models.ImportOptions) (*models.Imported, error) {
	text, err := fs.ReadFile(s.files, configJSON)
	if err != nil {
		return nil, err
	}
	config, err := parseObject(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configJSON, err)
	}
	version := "3"
	if text, err := fs.ReadFile(s.files, "metadata.json"); err == nil {
		if values, err := parseObject(text); err == nil {
			version = (&options{values: values}).text("keras_version", version)
		}
	}
	data, err := fs.ReadFile(s.files, weightsH5)
	if err != nil {
		return nil, err
	}
	arrays, names, err := readVariables(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", weightsH5, err)
	}
	return build(config, version, arrays, names, o)
}

// maxGroups bounds groups within groups.
const maxGroups = 128

func readVariables(data []byte) (map[string]weights.Array, namer, error) {
	file, err := hdf5.Parse(data)
	if err != nil {
		return nil, nil, err
	}
	root, err := file.Root()
	if err != nil {
		return nil, nil, err
	}
	arrays := map[string]weights.Array{}
	for _, layers := range []string{"layers", "_layer_checkpoint_dependencies"} { // the latter of Keras 2.13
		o, err := root.Object(layers)
		if err != nil {
			return nil, nil, err
		}
		if o == nil {
			continue
		}
		err = walk(o, layers, 0, arrays)
		return arrays, byIndex{layers}, err
	}
	return arrays, byIndex{"layers"}, nil
}

// walk adds the datasets below a group.
func walk(o *hdf5.Object, name string, depth int, arrays map[string]weights.Array) error {
	if depth > maxGroups {
		return errors.New("groups lie too deep within each other")
	}
	for _, link := range o.Links() {
		inner, err := o.Object(link)
		if err != nil {
			return err
		}
		if inner.Type.Size > 0 {
			a, err := array(inner)
			if err != nil {
				return fmt.Errorf("tensor %q: %w", name+"/"+link, err)
			}
			arrays[name+"/"+link] = a
			continue
		}
		if err := walk(inner, name+"/"+link, depth+1, arrays); err != nil {
			return err
		}
	}
	return nil
}
