#!/usr/bin/env python3
"""Measures ntmem on the same machine in every format, beside the raw image of the same run.

    bench_formats.py [--gib 4] [--raw IMAGE] [--venv VENV] [--runs 3] [--keep] [--folder target/bench-formats]
                     [--ntmem target/release/ntmem] [--forge target/release/forge]

Two tables. The first is a large dense image (no zero pages; forged, or IMAGE, as bench_with_peers.py keeps it) as `ntmem convert`, `avml`,
`zstd` and `pzstd` make others of it, and as an ELF core, VMware's .vmem, a bitmap dump, a hibernation file and a kdump, which this script
writes; what is not installed is left out, and said. A hibernation file is packed with libMSCompression, which the package leechcorepyc
in VENV has. The second is a small machine in all formats that the forge writes. For each: the file's size, and wall seconds of `info`
(opening), `check smss` and `pslist --scan` with their ratios to the raw image's, and MiB of memory beside mapped files of check and
scan. The fastest of several runs counts, of what takes more than PATIENCE seconds the first; files are in the page cache. Each large
file is removed once it is measured (not with --keep). What runs:

    cargo build --release --features cli --bin ntmem && cargo build --release -p ntmem-forge --bin forge

Exit status: 0, or 1 if something failed, a format gives another verdict than the raw image, or AVML or zstd with blocks take more than
10 times as long as raw or more than 256 MiB for a check.
"""

import argparse
import concurrent.futures
import ctypes
import json
import mmap
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from bench_with_peers import BUILD, Measured

SMALL = ["raw", "full", "bitmap", "lime", "elf", "vmsn", "avml", "qemu", "hiberfil", "kdump", "aff4", "vmrs", "sav", "xen-save"]
# Seconds after which a command is not run again.
PATIENCE = 4
PAGE = 4096
# What a check of these may cost: times the raw image's seconds, and MiB.
PACKED = {"AVML 2", "zstd with blocks"}
MOST = (10, 256)


def best(runs, command):
    """The fastest of some runs; the first, if it takes long."""
    first = Measured(command)
    more = [] if first.wall > PATIENCE else [Measured(command) for _ in range(runs - 1)]
    return min([first, *more], key=lambda run: run.wall)


def forged(arguments, folder, *words):
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "image.raw"
    if not (image.exists() and (folder / "truth.json").exists()):
        subprocess.run([arguments.forge, BUILD, folder, *words], check=True)
    return image


def truth_of(raw):
    return json.loads((raw.parent / "truth.json").read_text())


def frames(raw):
    """The numbers of the pages that are memory, as ranges."""
    runs = truth_of(raw)["physical"]["runs"]
    return [(int(start, 0) // PAGE, int(end, 0) // PAGE) for start, end in runs]


def copied(raw, file, first, end):
    """Copies pages behind what was written."""
    with open(raw, "rb") as source:
        source.seek(first * PAGE)
        left = (end - first) * PAGE
        while left:
            piece = source.read(min(left, 1 << 22))
            file.write(piece)
            left -= len(piece)


def bitmap_dump(raw, out):
    """A crash dump of type 5."""
    pages, bits = frames(raw), raw.stat().st_size // PAGE
    present = bytearray(-(-bits // 8))
    for first, end in pages:
        for page in range(first, end):
            present[page >> 3] |= 1 << (page & 7)
    begin = -(-(0x2038 + len(present)) // PAGE) * PAGE
    head = bytearray(b"PAGE" * (0x2000 // 4))
    head[:8] = b"PAGEDU64"
    struct.pack_into("<II", head, 8, 15, 19041)
    struct.pack_into("<Q", head, 0x10, int(truth_of(raw)["kernel"]["dtb"], 0))
    struct.pack_into("<II", head, 0x30, 0x8664, 1)
    struct.pack_into("<I", head, 0xF98, 5)
    with open(out, "wb") as file:
        file.write(head)
        file.write(b"FDMPDUMP" + bytes(0x18) + struct.pack("<QQQ", begin, sum(end - first for first, end in pages), bits) + present)
        file.seek(begin)
        for first, end in pages:
            copied(raw, file, first, end)


def zstd_blocks(raw, out):
    """Frames of 64 KiB, with the table of the seekable format."""
    length = raw.stat().st_size
    with tempfile.TemporaryDirectory() as folder, open(raw, "rb") as source, open(out, "wb") as file:
        while batch := source.read(64 << 20):
            names = []
            for at in range(0, len(batch), 1 << 16):
                names.append(os.path.join(folder, f"{at:08x}"))
                pathlib.Path(names[-1]).write_bytes(batch[at : at + (1 << 16)])
            subprocess.run(["zstd", "-q", "-1", "-c", *names], stdout=file, check=True)
    table, at = bytearray(), 0
    with open(out, "rb+") as file:
        packed = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        for begin in range(0, length, 1 << 16):
            # Magic, flags, size, blocks, and a sum of four bytes: by their headers.
            flags = packed[at + 4]
            single, size = flags >> 5 & 1, flags >> 6
            end = at + 5 + (not single) + [0, 1, 2, 4][flags & 3] + [single, 2, 4, 8][size]
            while True:
                block = int.from_bytes(packed[end : end + 3], "little")
                end += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
                if block & 1:
                    break
            end += 4 if flags & 4 else 0
            table += struct.pack("<II", end - at, min(1 << 16, length - begin))
            at = end
        file.seek(at)
        file.write(struct.pack("<II", 0x184D2A5E, len(table) + 9) + table + struct.pack("<IBI", len(table) // 8, 0, 0x8F92EAB1))


def in_order(work, items):
    """The results of two threads in order, and no more at a time than memory holds."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = []
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 64:
                yield waiting.pop(0).result()
        for one in waiting:
            yield one.result()


def groups(raw, pages, size):
    """Ranges of `size` pages at most, with their bytes."""
    with open(raw, "rb") as source:
        for first, end in pages:
            source.seek(first * PAGE)
            for at in range(first, end, size):
                count = min(size, end - at)
                yield at, count, source.read(count * PAGE)


def hibernation(library):
    """What writes a hibernation file of Windows 10 22H2: sets of 16 pages, with Huffman codes."""
    code = ctypes.CDLL(str(library))

    def packed(group):
        first, count, data = group
        room, length = ctypes.create_string_buffer(2 * len(data) + 512), ctypes.c_size_t(2 * len(data) + 512)
        status = code.xpress_huff_compress(data, ctypes.c_size_t(len(data)), room, ctypes.byref(length))
        method = 2
        if status != 0 or length.value >= len(data):
            method, body = 0, data
        else:
            body = room.raw[: length.value]
        return count, struct.pack("<IQ", 1 | len(body) << 8 | method << 30, first << 4 | (count - 1)) + body

    def write(raw, out):
        pages = frames(raw)
        with open(out, "wb") as file:
            file.seek(2 * PAGE)
            total = 0
            for count, body in in_order(packed, groups(raw, pages, 16)):
                total += count
                file.write(body)
            head = bytearray(PAGE)
            head[:4] = b"HIBR"
            struct.pack_into("<I", head, 0xC, 0x3E0)
            struct.pack_into("<Q", head, 0x18, PAGE)
            # All pages are the kernel's; the loader has none.
            struct.pack_into("<Q", head, 0x68, 1)
            struct.pack_into("<Q", head, 0x70, 2)
            struct.pack_into("<Q", head, 0x230, total)
            file.seek(0)
            file.write(head)

    return write


def kdump(raw, out, pack=lambda page: zlib.compress(page, 1), flag=1):
    """A kdump, as makedumpfile writes it; with zlib, or whatever `pack` is and `flag` stands for."""
    pages, bits = frames(raw), raw.stat().st_size // PAGE
    half = -(-bits // 8 // PAGE) * PAGE
    present = bytearray(half)
    for first, end in pages:
        for page in range(first, end):
            present[page >> 3] |= 1 << (page & 7)
    count = sum(end - first for first, end in pages)

    def packed(group):
        bodies = []
        for at in range(0, len(group[2]), PAGE):
            page = group[2][at : at + PAGE]
            body = pack(page)
            bodies.append((body, flag) if len(body) < PAGE else (page, 0))
        return bodies

    head = bytearray(2 * PAGE)
    head[:8] = b"KDUMP   "
    struct.pack_into("<I", head, 8, 6)
    struct.pack_into("<IIIII", head, 0x1A8, flag, PAGE, 1, 2 * half // PAGE, bits)
    with open(out, "wb") as file:
        file.write(head + present + present)
        table, at = bytearray(), 2 * PAGE + 2 * half + 24 * count
        file.seek(at)
        for bodies in in_order(packed, groups(raw, pages, 256)):
            for body, flags in bodies:
                table += struct.pack("<QIIQ", at, len(body), flags, 0)
                at += len(body)
                file.write(body)
        file.seek(2 * PAGE + 2 * half)
        file.write(table)


def elf(raw, out):
    """An ELF core with one segment."""
    size = raw.stat().st_size
    with open(out, "wb") as file:
        file.write(b"\x7fELF\x02\x01\x01" + bytes(9))
        file.write(struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0))
        file.write(struct.pack("<IIQQQQQQ", 1, 7, 4096, 0, 0, size, size, 4096))
        file.seek(4096)
        with open(raw, "rb") as source:
            shutil.copyfileobj(source, file, 1 << 22)


def vmware(raw, out):
    """VMware's memory, and beside it a state that says that it is one region."""
    size = raw.stat().st_size

    def tag(name, value, *indices):
        return bytes([len(indices) << 6 | 4, len(name)]) + name + struct.pack(f"<{len(indices)}I", *indices) + struct.pack("<I", value)

    tags = tag(b"regionsCount", 1) + tag(b"regionPPN", 0, 0) + tag(b"regionPageNum", 0, 0) + tag(b"regionSize", size >> 12, 0) + bytes(2)
    state = struct.pack("<III", 0xBED2BED2, 8, 1) + b"memory".ljust(64, b"\0") + struct.pack("<QQ", 92, len(tags)) + tags
    out.with_suffix(".vmss").write_bytes(state)
    if out.exists():
        out.unlink()
    os.link(raw, out)


def large(arguments):
    """Name, file, and what makes it."""
    folder = pathlib.Path(arguments.folder, f"{arguments.gib}-gib")
    folder.mkdir(parents=True, exist_ok=True)
    raw = arguments.raw or forged(arguments, folder, "dense", str(arguments.gib << 10))

    def convert(to):
        return lambda file: subprocess.run([arguments.ntmem, "convert", raw, file, "--to", to], check=True, stdout=subprocess.DEVNULL)

    def avml(file):
        words = ["avml", "convert", "--source-format", "raw", "--format", "lime_compressed", raw, file]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    def pzstd(file):
        subprocess.run(["pzstd", "-q", "-1", "-o", file, raw], check=True)

    zstd = (lambda file: zstd_blocks(raw, file)) if shutil.which("zstd") else "zstd is not installed"

    made = [
        ("raw", raw, None),
        ("LiME", folder / "image.lime", convert("lime")),
        ("crash dump, full", folder / "full.dmp", convert("crash_dump")),
        ("crash dump, bitmap", folder / "bitmap.dmp", lambda file: bitmap_dump(raw, file)),
        ("ELF core", folder / "image.elf", lambda file: elf(raw, file)),
        ("VMware", folder / "guest.vmem", lambda file: vmware(raw, file)),
        ("AVML 2", folder / "image.avml", avml if shutil.which("avml") else "avml is not installed"),
        ("zstd with blocks", folder / "blocks.zst", zstd),
        ("zstd, unpacked once", folder / "image.zst", pzstd if shutil.which("pzstd") else "pzstd is not installed"),
    ]
    library = next(pathlib.Path(arguments.venv or "nowhere").glob("lib/python*/site-packages/leechcorepyc/libMSCompression.so"), None)
    write = hibernation(library) if library else None
    made.append(("hibernation", folder / "hiberfil.sys", (lambda file: write(raw, file)) if write else "leechcorepyc is not in VENV"))
    made.append(("kdump, zlib", folder / "image.kdump", lambda file: kdump(raw, file)))
    return made, raw.parent / "symbols"


def small(arguments):
    made = []
    for name in SMALL:
        folder = pathlib.Path(arguments.folder, "small-" + name)
        made.append((name, forged(arguments, folder, "roomy", name), None))
    return made, pathlib.Path(arguments.folder, "small-raw", "symbols")


def verdict(arguments, image, symbols):
    words = [arguments.ntmem, "check", "smss", image, "--symbols", symbols]
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.split(b"\n")[:2]


def measure(arguments, title, made, symbols):
    print(f"\n{title}\n")
    print("| format | MiB | open s | ratio | check s | ratio | memory MiB | scan s | ratio | memory MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    first = truth = None
    wrong = []
    for name, image, make in made:
        if isinstance(make, str):
            wrong.append(f"{name}: left out, {make}")
            continue
        if make and not image.exists():
            make(image)
        with open(image, "rb", buffering=0) as file:
            buffer = bytearray(1 << 22)
            while file.readinto(buffer):
                pass
        found = verdict(arguments, image, symbols)
        truth = truth or found
        if found != truth:
            wrong.append(f"{name}: OTHER VERDICT: {found}")
        commands = [["info"], ["check", "smss"], ["pslist", "--scan"]]
        runs = [best(arguments.runs, [arguments.ntmem, *words, image, "--symbols", symbols]) for words in commands]
        first = first or runs
        opened, checked, scanned = [f"{run.wall:.3f} | {run.wall / base.wall:.1f}" for run, base in zip(runs, first)]
        size = image.stat().st_size / (1 << 20)
        print(f"| {name} | {size:.0f} | {opened} | {checked} | {runs[1].memory:.0f} | {scanned} | {runs[2].memory:.0f} |")
        sys.stdout.flush()
        if name in PACKED and (runs[1].wall > MOST[0] * first[1].wall or runs[1].memory > MOST[1]):
            wrong.append(f"{name}: a check takes more than {MOST[0]} times the raw image's seconds, or more than {MOST[1]} MiB")
        if make and not arguments.keep:
            image.unlink()
            image.with_suffix(".vmss").unlink(missing_ok=True)
    print(*wrong, sep="\n")
    return any("left out" not in one for one in wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--raw", type=pathlib.Path, help="a raw image with truth.json and symbols beside it, instead of forging one")
    parser.add_argument("--venv", help="where leechcorepyc is")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the large files")
    parser.add_argument("--folder", default="target/bench-formats", help="where images are made, and kept")
    parser.add_argument("--ntmem", default="target/release/ntmem")
    parser.add_argument("--forge", default="target/release/forge")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} processors, best of {arguments.runs}, {time.strftime('%Y-%m-%d')}")
    began = time.monotonic()
    made, symbols = large(arguments)
    wrong = measure(arguments, f"{made[0][1].stat().st_size / (1 << 30):.0f} GiB, dense", made, symbols)
    made, symbols = small(arguments)
    wrong |= measure(arguments, "The same small machine in all formats", made, symbols)
    print(f"\n{time.monotonic() - began:.0f} s in all")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
