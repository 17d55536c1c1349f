#!/usr/bin/env python3
"""Measures how ntmem reads pages that are away beside MemProcFS, on the same forged images in the same run.

    bench_pages_with_peers.py [--venv VENV] [--gib 4] [--runs 3] [--folder target/bench-pages]

Two machines are forged: one whose PEBs, parameters and hives are in the compressed store, with 10,000 more pages of csrss.exe there;
and one where they are in the page file and the swap file. It prints wall time, CPU time and memory beyond the mapped file of `check
smss` with and without what supplies these pages, and of reading the 10,000 pages; and whether both tools read the same 10,000 pages.

What it needs is what bench_with_peers.py does; MemProcFS needs for the store also a libMSCompression.so (see
pages_with_memprocfs.py). Of several runs the fastest counts; the files are in the page cache. Exit status: 0, or 1 if something failed.
"""

import argparse
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from bench_with_peers import BUILD, Measured, best, table

COUNT = 10_000
# Where the forge puts them (BULK).
PID, START = 452, 0x2_0000_0000

MEMPROCFS = r"""
import hashlib, sys, memprocfs
image, what, *files = sys.argv[1:]
arguments = ["-device", image, "-disable-symbolserver", "-waitinitialize", "-norefresh"]
for number, file in enumerate(files):
    arguments += [f"-pagefile{number}", file]
vmm = memprocfs.Vmm(arguments)
if what == "list":
    vmm.set_config(memprocfs.OPT_REFRESH_ALL, 1)
    def get(process, field):
        try:
            return getattr(process, field)
        except RuntimeError:  # what it cannot read
            return None
    rows = [[get(process, field) for field in ("pid", "ppid", "name", "cmdline", "pathuser")] for process in vmm.process_list()]
    assert vmm.reg_key(r"HKLM\SYSTEM\ControlSet001\Control\Session Manager\SubSystems").values_dict()
else:
    pid, start, count = map(int, what.split("-"))
    memory = vmm.process(pid).memory
    print(hashlib.sha256(b"".join(memory.read(start + n * 4096, 4096) for n in range(count))).hexdigest())
"""


def forge(arguments, variant):
    folder = pathlib.Path(arguments.folder, variant)
    image = folder / "image.raw"
    if not (image.exists() and image.stat().st_size == arguments.gib << 30 and (folder / "truth.json").exists()):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([arguments.forge, BUILD, folder, variant, str(arguments.gib << 10)], check=True)
    with open(image, "rb", buffering=0) as file:
        buffer = bytearray(1 << 22)
        while file.readinto(buffer):
            pass
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", help="where MemProcFS is installed")
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", default="target/bench-pages", help="where images are made, and kept")
    parser.add_argument("--ntmem", default="target/release/ntmem")
    parser.add_argument("--forge", default="target/release/forge")
    arguments = parser.parse_args()
    python = arguments.venv and pathlib.Path(arguments.venv, "bin/python")
    store = forge(arguments, f"behind-store+bulk{COUNT}")
    filed = forge(arguments, "behind-swap-file")
    files = [filed / "pagefile.sys", filed / "swapfile.sys"]
    given = [word for file in files for word in ("--pagefile", file)]

    def check(folder, *more):
        return best(arguments.runs, [arguments.ntmem, "check", "smss", folder / "image.raw", "--symbols", folder / "symbols", *more])

    def peer(folder, what, *more):
        return [python, "-c", MEMPROCFS, folder / "image.raw", what, *more]

    print(f"{arguments.gib} GiB, {os.cpu_count()} processors, best of {arguments.runs}, {time.strftime('%Y-%m-%d')}")
    first = check(store)
    rows = [("ntmem check smss, pages in the store", first)]
    rows.append(("ntmem check smss, in page files not given", check(filed)))
    rows.append(("ntmem check smss, in page files given", check(filed, *given)))
    if python:
        rows.append(("MemProcFS start, list, SubSystems key, pages in the store", best(arguments.runs, peer(store, "list"))))
        rows.append(("MemProcFS the same, page files given", best(arguments.runs, peer(filed, "list", *files))))
    table("PEBs, parameters and hives that are away", rows, first)

    with tempfile.TemporaryDirectory() as out:
        # It writes over nothing.
        folders = [pathlib.Path(out, str(run)) for run in range(arguments.runs)]
        dump = [arguments.ntmem, "dump", PID, store / "image.raw", "--symbols", store / "symbols", "--vad", hex(START), "--output"]
        ours = min((Measured([*dump, folder]) for folder in folders), key=lambda run: run.wall)
        (written,) = (file for file in folders[0].iterdir() if file.name != "manifest.json")
        digest = hashlib.sha256(written.read_bytes()).hexdigest()
    rows = [("ntmem dump --vad", ours)]
    same = True
    if python:
        command = [str(part) for part in peer(store, f"{PID}-{START}-{COUNT}")]
        rows.append(("MemProcFS start, process.memory.read", best(arguments.runs, command)))
        same = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == digest
    table(f"{COUNT} pages of the compressed store", rows, ours)
    if python:
        print("\nBoth read the same bytes." if same else "\nThe bytes DIFFER.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
