"""Writes the PyTorch files that torch_test.go reads: make_torch.py FOLDER [SHAPES].

SHAPES is a JSON object of shapes by tensor name; with it, resnet.pth holds
these tensors in half precision, filled with 0.5.
"""
import collections
import json
import pathlib
import sys

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
torch.save(tensors, folder / "tensors.pth")

linear = torch.nn.Linear(2, 1)
with torch.no_grad():
    linear.weight[:] = torch.tensor([[1.0, 2.0]])
    linear.bias[:] = 3
optimizer = torch.optim.SGD(linear.parameters(), lr=0.1, momentum=0.9)
state = torch.nn.DataParallel(linear).state_dict()
torch.save(
    {"epoch": 3, "best": 76.13, "state_dict": state, "optimizer": optimizer.state_dict(), "arch": "x"},
    folder / "checkpoint.pth",
)

torch.save(linear, folder / "model.pth")
torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)

if len(sys.argv) > 2:
    shapes = json.loads(pathlib.Path(sys.argv[2]).read_text())
    resnet = collections.OrderedDict(
        (name, torch.full(shape, 0.5, dtype=torch.float16)) for name, shape in shapes.items()
    )
    resnet["bn1.num_batches_tracked"] = torch.tensor(1)
    torch.save(resnet, folder / "resnet.pth")
