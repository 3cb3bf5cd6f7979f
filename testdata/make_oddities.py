#!/usr/bin/env python3
"""Writes oddities/: small pictures of kinds that Go's encoders cannot write.

Needs Pillow. All are cut from photos/espresso.jpg.
"""

import io
import pathlib

from PIL import Image, ImageChops

HERE = pathlib.Path(__file__).parent
SIZE = (171, 113)  # odd, so that subsampled planes overhang
ORIENTATION = 0x0112  # Exif tag


def adobe_ycck(image):
    """JPEG bytes of image as Adobe YCCK, without black.

    Decoders take the YCC part for the complement of RGB. Pillow writes CMYK
    only, inverting every plane: hand it the inverse of what the file is to
    hold, then change the transform byte of the Adobe segment.
    """
    planes = ImageChops.invert(image).convert("YCbCr").split()
    no_black = Image.new("L", image.size, 0)
    stored = Image.merge("CMYK", [ImageChops.invert(p) for p in planes] + [no_black])
    out = io.BytesIO()
    stored.save(out, "JPEG", quality=90)
    data = bytearray(out.getvalue())
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    return bytes(data)


def main():
    out = HERE / "oddities"
    out.mkdir(exist_ok=True)
    photo = Image.open(HERE / "photos" / "espresso.jpg")
    photo = photo.resize(SIZE, Image.LANCZOS)
    photo.convert("CMYK").save(out / "cmyk.jpg", quality=90)
    (out / "ycck.jpg").write_bytes(adobe_ycck(photo))
    for name, sampling in {"422": 1, "420": 2}.items():
        path = out / f"progressive-{name}.jpg"
        photo.save(path, quality=90, progressive=True, subsampling=sampling)
    turned = photo.transpose(Image.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turn clockwise to view
    turned.save(out / "turned.jpg", quality=90, exif=exif)
    turned.save(out / "turned-lossy.webp", quality=80, exif=exif)
    alpha = Image.linear_gradient("L").resize(SIZE)
    small = photo.quantize(64)  # keeps the files small
    rgba = small.convert("RGB")
    rgba.putalpha(alpha)
    rgba.save(out / "alpha.png", optimize=True)
    small.save(out / "palette-transparent.png", optimize=True, transparency=bytes(range(0, 256, 4)))
    turned = small.convert("RGB").transpose(Image.ROTATE_90)
    turned.save(out / "turned-exif.png", optimize=True, exif=exif)
    turned.save(out / "turned-tiff.tif", compression="tiff_lzw", tiffinfo=exif)
    rgba.save(out / "alpha-lossy.webp", quality=80)
    rgba.save(out / "alpha-lossless.webp", lossless=True, exact=True)
    small.save(out / "first.gif", save_all=True, append_images=[ImageChops.invert(small.convert("RGB"))])
    small.convert("P").save(out / "palette.bmp")
    photo.convert("LA").save(out / "gray-alpha.png", optimize=True)


main()
