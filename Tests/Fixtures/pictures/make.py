"""Small pictures in formats that lose nothing or little, each with what is right as PNG, and some that claim too much.

python make.py  (needs Pillow)
"""

import io
import os
import struct
import zlib

from PIL import Image

os.chdir(os.path.dirname(os.path.abspath(__file__)))
colour = Image.new("RGB", (5, 3))
colour.putdata([(250 - 50 * x, 40, 100 * y) for y in range(3) for x in range(5)])
grey = Image.new("L", (5, 3))
grey.putdata([50 * x + 10 * y for y in range(3) for x in range(5)])
clear = colour.convert("RGBA")
clear.putdata([(r, g, b, 255 if i % 2 else 51) for i, (r, g, b) in enumerate(colour.getdata())])
white = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


def keep(name, picture, right, **options):
    """right: what is read; None: what Pillow reads of what was lost."""
    picture.save(name, **options)
    (right or Image.open(name).convert("RGB")).save(name + ".png")


keep("colour.jpg", colour, None, quality=100, subsampling=0)
keep("grey.jpg", grey, grey, quality=100)
keep("lossless.webp", colour, colour, lossless=True)
keep("lossy.webp", colour, None, quality=100)
keep("transparent.webp", clear, white, lossless=True, exact=True)

# A small picture with a large one's size in its header.
out = io.BytesIO()
colour.save(out, "JPEG")
data = bytearray(out.getvalue())
at = data.index(b"\xff\xc0")
data[at + 5 : at + 9] = struct.pack(">HH", 16000, 16000)
open("bomb.jpg", "wb").write(data)
data = bytearray(open("lossless.webp", "rb").read())
data[21:24] = b"\xff\xff\xff"  # 14 bits of width less 1, 14 of height less 1
data[24] |= 0x0F
open("bomb.webp", "wb").write(data)
out = io.BytesIO()
colour.save(out, "PNG")
data = bytearray(out.getvalue())
data[16:24] = struct.pack(">II", 16000, 16000)
import zlib
data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
open("bomb.png", "wb").write(data)
