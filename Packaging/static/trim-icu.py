#!/usr/bin/env python3
"""Keeps of ICU's data what lora can come to: trim-icu.py lib_FoundationICU.a OUT.a

Foundation carries the world's calendars, currencies and collations, 34 MB; regular expressions have their tables in
code, and of the data lora needs the normalisations and what patterns ask of emoji and of scripts' layout. OUT.a is
the archive with so much in the data's place.

The data's form (ICU, common/ucmndata.h): a header that begins with its length in 16 bits; then, relative to its end,
the count of items, a name's and a content's offset for each in the order of names, the names, the contents.
"""

import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

KEPT = re.compile(r"\.nrm$|/(uemoji|ulayout)\.icu$")


def items(data):
    """The header, and (name, content) for each item."""
    (start,) = struct.unpack_from("<H", data)
    if data[2:4] != b"\xda\x27" or data[12:16] != b"CmnD":
        sys.exit("This is no ICU data.")
    (count,) = struct.unpack_from("<I", data, start)
    offsets = [struct.unpack_from("<II", data, start + 4 + 8 * i) for i in range(count)]
    ends = [content for _, content in offsets[1:]] + [len(data) - start]
    return data[:start], [
        (data[start + name : data.index(b"\0", start + name)], data[start + content : start + end])
        for (name, content), end in zip(offsets, ends)
    ]


def package(header, kept):
    names = b"".join(name + b"\0" for name, _ in kept)
    where, at = 4 + 8 * len(kept), []
    content_start = -(-(where + len(names)) // 16) * 16
    contents = b""
    for name, content in kept:
        at.append((where, content_start + len(contents)))
        where += len(name) + 1
        contents += content + bytes(-len(content) % 16)
    table = struct.pack("<I", len(kept)) + b"".join(struct.pack("<II", *pair) for pair in at) + names
    return header + table + bytes(content_start - len(table)) + contents


def main(archive, out):
    with tempfile.TemporaryDirectory() as folder:
        member = "icu_packaged_data.cpp.o"
        subprocess.run(["ar", "x", "--output", folder, Path(archive).resolve(), member], check=True)
        whole, raw = Path(folder) / member, Path(folder) / "raw"
        symbols = subprocess.run(["nm", whole], check=True, capture_output=True, text=True).stdout
        (symbol,) = re.findall(r"\bicudt\w+_dat\b", symbols)
        subprocess.run(
            ["objcopy", "-O", "binary", "-j", ".rodata", "--set-section-flags", ".rodata=alloc,contents,load", whole, raw],
            check=True)
        header, all_items = items(raw.read_bytes())
        kept = [item for item in all_items if KEPT.search(item[0].decode())]
        raw.write_bytes(package(header, kept))
        source = f'.section .rodata\n.balign 16\n.global {symbol}\n{symbol}:\n.incbin "{raw}"\n'
        source += '.section .note.GNU-stack,"",%progbits\n'
        subprocess.run(["cc", "-c", "-x", "assembler", "-", "-o", whole], input=source, text=True, check=True)
        shutil.copyfile(archive, out)
        subprocess.run(["ar", "r", out, whole], check=True)
        print(f"ICU: {len(kept)} of {len(all_items)} items,", ", ".join(name.decode() for name, _ in kept))


main(*sys.argv[1:])
