"""Writes a TensorFlow.js layers model as Keras 2 saves models in HDF5.

Usage: tfjs_to_h5.py FOLDER FILE.h5
"""

import json
import os
import sys

import h5py
import numpy

folder, file = sys.argv[1:]
with open(os.path.join(folder, "model.json")) as f:
    model = json.load(f)
topology = model["modelTopology"]["model_config"]
layers = {}
for group in model["weightsManifest"]:
    data = b"".join(open(os.path.join(folder, path), "rb").read() for path in group["paths"])
    for weight in group["weights"]:
        n = int(numpy.prod(weight["shape"]))
        values = numpy.frombuffer(data[: 4 * n], "<f4").reshape(weight["shape"])
        layers.setdefault(weight["name"].split("/")[0], []).append((weight["name"], values))
        data = data[4 * n :]

with h5py.File(file, "w") as f:
    f.attrs["model_config"] = json.dumps(topology).encode()
    f.attrs["keras_version"] = b"2.2.4"
    f.attrs["backend"] = b"tensorflow"
    root = f.create_group("model_weights")
    names = [layer["config"]["name"] for layer in topology["config"]["layers"]]
    root.attrs["layer_names"] = numpy.array([name.encode() for name in names])
    for name in names:
        weights = layers.get(name, [])
        group = root.create_group(name)
        group.attrs["weight_names"] = numpy.array([f"{weight}:0".encode() for weight, _ in weights], "S")
        for weight, values in weights:
            group.create_dataset(f"{weight}:0", data=values)
