#!/usr/bin/env python3
"""Measures ntmem on the same machine in every format, beside the raw image of the same run.

    bench_formats.py [--gib 4] [--runs 3] [--folder target/bench-formats] [--ntmem target/release/ntmem] [--forge target/release/forge]

Two tables. The first is a large dense image (no zero pages) in what `ntmem convert`, `avml` and `pzstd` make of it, and as an ELF core
and VMware's .vmem, which this script writes around the raw bytes; what is not installed is left out, and said. The second is a small
machine in all formats that the forge writes. For each: the file's size, and wall seconds of `info` (opening), `check smss` and `pslist
--scan` with their ratios to the raw image's, and MiB of memory beside mapped files of the check. The fastest of several runs counts;
files are in the page cache. What runs:

    cargo build --release --features cli --bin ntmem && cargo build --release -p ntmem-forge --bin forge

Exit status: 0, or 1 if something failed or a format gives another verdict than the raw image.
"""

import argparse
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time

from bench_with_peers import BUILD, best

SMALL = ["raw", "full", "bitmap", "lime", "elf", "vmsn", "avml", "qemu", "hiberfil", "kdump", "aff4", "vmrs", "sav", "xen-save"]


def forged(arguments, folder, *words):
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "image.raw"
    if not (image.exists() and (folder / "truth.json").exists()):
        subprocess.run([arguments.forge, BUILD, folder, *words], check=True)
    return image


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
    folder = pathlib.Path(arguments.folder, f"{arguments.gib}-gib")
    raw = forged(arguments, folder, "dense", str(arguments.gib << 10))
    made = [("raw", raw)]

    def make(name, file, how, program=None):
        if program and not shutil.which(program):
            print(f"{name}: left out, {program} is not installed")
            return
        if not file.exists():
            how(file)
        made.append((name, file))

    def convert(to):
        return lambda file: subprocess.run([arguments.ntmem, "convert", raw, file, "--to", to], check=True, stdout=subprocess.DEVNULL)

    def avml(file):
        words = ["avml", "convert", "--source-format", "raw", "--format", "lime_compressed", raw, file]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    def pzstd(file):
        subprocess.run(["pzstd", "-q", "-1", "-o", file, raw], check=True)

    make("LiME", folder / "image.lime", convert("lime"))
    make("crash dump", folder / "image.dmp", convert("crash_dump"))
    make("ELF core", folder / "image.elf", lambda file: elf(raw, file))
    make("VMware", folder / "guest.vmem", lambda file: vmware(raw, file))
    make("AVML 2", folder / "image.avml", avml, "avml")
    make("zstd with blocks", folder / "image.zst", pzstd, "pzstd")
    return made, folder / "symbols"


def small(arguments):
    made = []
    for name in SMALL:
        folder = pathlib.Path(arguments.folder, "small-" + name)
        made.append((name, forged(arguments, folder, "roomy", name)))
    return made, pathlib.Path(arguments.folder, "small-raw", "symbols")


def verdict(arguments, image, symbols):
    words = [arguments.ntmem, "check", "smss", image, "--symbols", symbols]
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.split(b"\n")[:2]


def measure(arguments, title, made, symbols):
    print(f"\n{title}\n")
    print("| format | MiB | open s | ratio | check s | ratio | memory MiB | scan s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    first = truth = None
    wrong = 0
    for name, image in made:
        with open(image, "rb", buffering=0) as file:
            buffer = bytearray(1 << 22)
            while file.readinto(buffer):
                pass
        found = verdict(arguments, image, symbols)
        truth = truth or found
        if found != truth:
            wrong += 1
            print(f"{name}: OTHER VERDICT: {found}", file=sys.stderr)
        commands = [["info"], ["check", "smss"], ["pslist", "--scan"]]
        runs = [best(arguments.runs, [arguments.ntmem, *words, image, "--symbols", symbols]) for words in commands]
        first = first or runs
        opened, checked, scanned = [f"{run.wall:.3f} | {run.wall / base.wall:.1f}" for run, base in zip(runs, first)]
        size = image.stat().st_size / (1 << 20)
        print(f"| {name} | {size:.0f} | {opened} | {checked} | {runs[1].memory:.0f} | {scanned} |")
        sys.stdout.flush()
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", default="target/bench-formats", help="where images are made, and kept")
    parser.add_argument("--ntmem", default="target/release/ntmem")
    parser.add_argument("--forge", default="target/release/forge")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} processors, best of {arguments.runs}, {time.strftime('%Y-%m-%d')}")
    made, symbols = large(arguments)
    wrong = measure(arguments, f"{arguments.gib} GiB, dense", made, symbols)
    made, symbols = small(arguments)
    wrong += measure(arguments, "The same small machine in all formats", made, symbols)
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
