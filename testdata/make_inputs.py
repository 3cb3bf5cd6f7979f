#!/usr/bin/env python3
"""Network inputs as the trainers' own frameworks make them.

    make_inputs.py FOLDER PICTURE...

For each way of preprocessing writes FOLDER/NAME.json, the file that the framework
saves beside weights, and FOLDER/NAME.f32: for each picture float32 values in HWC
order. Needs torch, torchvision, timm and transformers.
"""

import pathlib
import sys

import numpy
import timm
import timm.models._hub
import torch
import transformers
from PIL import Image
from torchvision.transforms._presets import ImageClassification


def timm_transform(folder, name, **changes):
    model = timm.create_model("resnet18", pretrained=False)
    model.pretrained_cfg.update(changes)
    timm.models._hub.save_config_for_hf(model, folder / f"{name}.json")
    return timm.data.create_transform(**timm.data.resolve_data_config(model.pretrained_cfg))


def transformers_transform(folder, name, processor):
    processor.save_pretrained(folder)
    (folder / "preprocessor_config.json").rename(folder / f"{name}.json")
    return lambda image: torch.as_tensor(numpy.array(processor(image)["pixel_values"][0]))


def main(folder, pictures):
    t = transformers
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    convnext = {"crop_pct": 0.875, "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    transforms = {
        "torchvision": ImageClassification(crop_size=224),
        "timm": timm_transform(folder, "timm"),
        "timm-tight": timm_transform(folder, "timm-tight", input_size=(3, 160, 160), crop_pct=0.95, interpolation="bicubic", mean=(0.5,) * 3),
        "timm-squash": timm_transform(folder, "timm-squash", crop_pct=1.0, crop_mode="squash"),
    }
    for name, processor in {
        "resnet": t.ConvNextImageProcessor(size={"shortest_edge": 224}, **convnext),
        "convnext-384": t.ConvNextImageProcessor(size={"shortest_edge": 384}, **convnext),
        "vit": t.ViTImageProcessor(size={"height": 224, "width": 224}, **half),
        "deit": t.DeiTImageProcessor(),
        "bit": t.BitImageProcessor(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}),
        "mobilenet": t.MobileNetV2ImageProcessor(),
        "mobilevit": t.MobileViTImageProcessor(size={"shortest_edge": 288}, do_normalize=False),
        "efficientnet": t.EfficientNetImageProcessor(resample=2),
    }.items():
        transforms[name] = transformers_transform(folder, name, processor)
    for name, transform in transforms.items():
        with open(folder / f"{name}.f32", "wb") as out:
            for picture in pictures:
                values = transform(Image.open(picture).convert("RGB"))
                out.write(values.permute(1, 2, 0).numpy().astype("<f4").tobytes())


main(pathlib.Path(sys.argv[1]), sys.argv[2:])
