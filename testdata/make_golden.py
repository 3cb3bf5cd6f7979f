#!/usr/bin/env python3
"""Golden outputs of preprocessing, computed by Pillow.

    make_golden.py PICTURE...          writes golden/NAME.png for each picture
    make_golden.py --raw < LIST        for each path in LIST writes 224x224x3 bytes to stdout

Needs Pillow. Converts to RGB, resizes the shorter side to 256 (the longer in
proportion, its fraction cut, as torchvision does) with the antialiased bilinear
filter, cuts the centre 224x224. With --raw, --filter NAME takes another filter,
--mode L makes it grey, --squash resizes the whole picture to 256x256 instead.
"""

import argparse
import pathlib
import sys

from PIL import Image, ImageOps

RESIZE, CROP = 256, 224


def preprocess(path, options):
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB").convert(options.mode)
    short = min(image.size)
    size = (RESIZE, RESIZE) if options.squash else [int(RESIZE * n / short) for n in image.size]
    image = image.resize(size, Image.Resampling[options.filter.upper()])
    left, top = (round((n - CROP) / 2) for n in image.size)  # half to even
    return image.crop((left, top, left + CROP, top + CROP))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--filter", default="bilinear")
    parser.add_argument("--mode", default="RGB")
    parser.add_argument("--squash", action="store_true")
    parser.add_argument("pictures", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    if options.raw:
        for line in sys.stdin:
            sys.stdout.buffer.write(preprocess(line.rstrip("\n"), options).tobytes())
        return
    golden = pathlib.Path(__file__).parent / "golden"
    golden.mkdir(exist_ok=True)
    for path in options.pictures:
        preprocess(path, options).save(golden / (path.stem + ".png"), optimize=True)


main()
