"""Writes the PyTorch files that torch_test.go reads: make_torch.py FOLDER."""
import argparse
import collections
import datetime
import pathlib
import sys

import numpy as np
import torch

folder = pathlib.Path(sys.argv[1])

base = torch.arange(12, dtype=torch.float32)
tensors = collections.OrderedDict(
    float=torch.tensor([[1, -2.5, 3], [4, 5, 6]]),
    half=torch.tensor([0.5, 65504, -1], dtype=torch.float16),
    bfloat16=torch.tensor([1.5, -3], dtype=torch.bfloat16),
    view=base[4:8],  # part of a storage
    transposed=base.reshape(3, 4).t(),  # not row-major
    parameter=torch.nn.Parameter(torch.tensor([7.0])),
    scalar=torch.tensor(2.0),
    none=torch.zeros(0, 3),
    counter=torch.tensor(5),
)
tensors["double"] = torch.tensor([1.25, -1e30], dtype=torch.float64)
tensors["quantized"] = torch.quantize_per_tensor(torch.tensor([0.5]), 0.25, 0, torch.qint8)
torch.save(tensors, folder / "tensors.pth")
torch.save(tensors, folder / "tensors_legacy.pth", _use_new_zipfile_serialization=False)


def linear(weight, bias):
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([weight])
        layer.bias[:] = bias
    return layer


class Metric:
    """Stands for classes that the reader knows nothing of."""

    __slots__ = ("value",)

    def __init__(self):
        self.value = {1, 2}


layer = linear([1.0, 2.0], 3)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
layer(torch.ones(1, 2)).sum().backward()
optimizer.step()
layer = linear([1.0, 2.0], 3)
state = torch.nn.DataParallel(layer).state_dict()
checkpoint = {
    "epoch": 3,
    "best": np.float32(76.13),
    "seed": 1 << 100,
    "state_dict": state,
    "model_ema": {"decay": 0.9, "shadow": torch.nn.DataParallel(linear([5.0, 6.0], 7)).state_dict()},
    "optimizer": optimizer.state_dict(),
    "args": argparse.Namespace(arch="x", data=pathlib.Path("/data"), class_names=("cat", "dog")),
    "classes": ["cat", "dog"],
    "hyper_parameters": {"class_to_idx": {"dog": 1, "cat": 0}, "labels": [3, 4], "classes": 2},
    "data": collections.defaultdict(dict, idx_to_class={0: "cat", 1: "dog"}),
    "device": torch.device("cpu"),
    "size": torch.Size([1, 2]),
    "dtype": torch.float16,
    "numpy": np.arange(3),
    "random": np.random.RandomState(0).get_state(),
    "set": frozenset({1}),
    "bytes": b"123",
    "metric": Metric(),
    "ordered": collections.OrderedDict(a=1),
    "function": torch.nn.functional.relu,
    "range": range(3),
    "date": datetime.datetime(2020, 1, 2),
    "complex": 1j,
}
torch.save(checkpoint, folder / "checkpoint.pth")
torch.save(checkpoint, folder / "checkpoint4.pth", pickle_protocol=4)

torch.save(layer, folder / "model.pth")
torch.save({"epoch": 1, "model": torch.nn.Sequential(layer)}, folder / "model_in_dict.pth")
torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
torch.jit.save(torch.jit.script(layer), folder / "script.pt")
