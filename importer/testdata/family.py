"""Makes networks of the ResNet family: family.py FOLDER NAME [NAME...], or --list,
or --all for those, too, that take half a minute each.

Each becomes FOLDER/NAME with a file or folder "network", the input image.npy
(H, W, C) and PyTorch's logits.npy for it. Weights are random; the statistics of
batch normalizations are those of random images. Needs torchvision, timm and
transformers.
"""
import json
import pathlib
import sys

import numpy as np
import timm
import torch
import torchvision
import transformers
from safetensors.torch import save_file
from torch import nn


def timm_network(name, side=64):
    network = timm.create_model(name, num_classes=10)

    def save(path):
        path.mkdir()
        save_file(network.state_dict(), path / "model.safetensors")
        config = {"architecture": name, "num_classes": 10, "pretrained_cfg": {
            "input_size": [3, side, side], "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}}
        (path / "config.json").write_text(json.dumps(config))

    return network, save, side


def torchvision_network(name, side=64, head=None):
    network = getattr(torchvision.models, name)(num_classes=10)
    if head:
        network.fc = head(network.fc.in_features)
    return network, lambda path: torch.save(network.state_dict(), path), side


def transformers_network(side=64, **options):
    config = transformers.ResNetConfig(num_labels=10, **options)
    network = transformers.ResNetForImageClassification(config)
    size = {"height": side, "width": side}

    def save(path):
        network.save_pretrained(path, max_shard_size="20MB")
        (path / "preprocessor_config.json").write_text(json.dumps({"do_resize": True, "size": size, "resample": 2}))

    return network, save, side


class Pool(nn.Module):
    """fastai's AdaptiveConcatPool2d."""

    def forward(self, x):
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)


def fastai_network():
    body = nn.Sequential(*list(torchvision.models.resnet34().children())[:-2])
    head = nn.Sequential(Pool(), nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(), nn.Linear(1024, 512, bias=False), nn.ReLU(),
                         nn.BatchNorm1d(512), nn.Dropout(), nn.Linear(512, 10, bias=False))
    network = nn.Sequential(body, head)
    return network, lambda path: torch.save({"model": network.state_dict(), "opt": {}}, path), 64


class Cifar(nn.Module):
    """torchvision's ResNet18 for 32x32 images, behind a wrapper, with averaged weights."""

    def __init__(self):
        super().__init__()
        self.net = torchvision.models.resnet18(num_classes=10)
        self.net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.net.maxpool = nn.Identity()

    def forward(self, x):
        return self.net(x)


def cifar_network():
    network = Cifar()
    return network, lambda path: torch.save({"state_dict": network.state_dict()}, path, _use_new_zipfile_serialization=False), 32


def mlp(features):
    return nn.Sequential(nn.Dropout(), nn.Linear(features, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10))


makers = {
    **{name: lambda name=name: torchvision_network(name) for name in (
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2",
        "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")},
    "resnet50_mlp": lambda: torchvision_network("resnet50", 96, mlp),
    "fastai": fastai_network,
    "cifar": cifar_network,
    **{"timm_" + name: lambda name=name: timm_network(name) for name in (
        "resnet18d", "resnet26t", "resnet50c", "resnet50s", "resnetaa50", "resnetaa34d", "seresnet50", "seresnext26t_32x4d",
        "resnext50d_32x4d", "resnetrs50", "seresnetaa50d")},
    "timm_resnet50d": lambda: timm_network("resnet50d", 72),  # planes of 9 and 5: windows over their borders
    "transformers_18": lambda: transformers_network(layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512]),
    "transformers_50": lambda: transformers_network(),
    "transformers_v1": lambda: transformers_network(downsample_in_bottleneck=True, depths=[2, 2, 2, 2]),
    "transformers_first": lambda: transformers_network(downsample_in_first_stage=True, layer_type="basic", depths=[1, 1, 1, 1],
                                                       hidden_sizes=[64, 128, 256, 512]),
}


def make(name, folder):
    torch.manual_seed(0)
    network, save, side = makers[name]()
    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.3, 0.9)
        nn.init.normal_(norm.bias, 0, 0.2)
        norm.momentum = None  # the plain average
    network.train()
    with torch.no_grad():
        network(torch.randn(4, 3, side, side))
        network.eval()
        image = torch.randn(1, 3, side, side)
        logits = network(image)
    folder.mkdir(parents=True)
    save(folder / "network")
    np.save(folder / "image.npy", np.ascontiguousarray(image[0].permute(1, 2, 0).numpy()))
    np.save(folder / "logits.npy", getattr(logits, "logits", logits)[0].numpy())


large = ["resnet152", "wide_resnet101_2", "resnext101_32x8d", "resnext101_64x4d"]
if sys.argv[1] in ("--list", "--all"):
    print(*(name for name in makers if name not in large or sys.argv[1] == "--all"))
else:
    for name in sys.argv[2:]:
        make(name, pathlib.Path(sys.argv[1]) / name)
