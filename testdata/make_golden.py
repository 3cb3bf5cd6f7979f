#!/usr/bin/env python3
"""Golden outputs of preprocessing, computed by Pillow.

    make_golden.py PICTURE...          writes golden/NAME.png for each picture
    make_golden.py --raw < LIST        for each path in LIST writes 224x224x3 bytes to stdout

Needs Pillow. Converts to RGB, resizes the shorter side to 256 (the longer in
proportion, rounded) with the antialiased bilinear filter, cuts the centre
224x224.
"""

import pathlib
import sys

from PIL import Image, ImageOps

RESIZE, CROP = 256, 224


def preprocess(path):
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    short = min(image.size)
    size = [(2 * RESIZE * n + short) // (2 * short) for n in image.size]  # half up
    image = image.resize(size, Image.BILINEAR)
    left, top = (round((n - CROP) / 2) for n in image.size)  # half to even
    return image.crop((left, top, left + CROP, top + CROP))


def main(arguments):
    if arguments == ["--raw"]:
        for line in sys.stdin:
            sys.stdout.buffer.write(preprocess(line.rstrip("\n")).tobytes())
        return
    golden = pathlib.Path(__file__).parent / "golden"
    golden.mkdir(exist_ok=True)
    for path in map(pathlib.Path, arguments):
        preprocess(path).save(golden / (path.stem + ".png"), optimize=True)


main(sys.argv[1:])
