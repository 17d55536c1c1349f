#!/usr/bin/env python3
"""Measures how many processes are found in damaged images, by ntmem, Volatility 3 and MemProcFS, on the same files.

    recovered_share.py [--venv VENV] [--builds 7601,19045,26100] [--seeds 1] [--folder target/recovered-share] [MACHINE...]

Each MACHINE is a folder with image.raw, truth.json and symbols/; without any, the forge makes one of each build at two moments. Of the used
pages 1, 5 and 20 % are filled with zeros, with 0xff, with noise, or with another page of the machine; pages change places; bytes are
changed; bits of page-table entries are turned; the file is cut to 95, 80 and 50 %; and pages are from the later moment. A process is found
if a row has its pid and its name. Those of the machine before the damage are all that there are: also those whose objects are gone.

    cargo build --features cli --bin ntmem && cargo build -p ntmem-forge --bin forge

The peers are looked for in VENV (see bench_with_peers.py); without it they are left out.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import tempfile

PAGE = 4096
WHOLE = "object whole"
OBJECT = 0x4C0
FRAME = 0x000F_FFFF_FFFF_F000

MEMPROCFS = r"""
import json, sys, memprocfs
vmm = memprocfs.Vmm(["-device", sys.argv[1], "-disable-symbolserver", "-waitinitialize"])
print(json.dumps([[process.pid, process.name] for process in vmm.process_list()]))
"""


class Machine:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.name = self.folder.name
        self.image = (self.folder / "image.raw").read_bytes()
        later = self.folder / "later.raw"
        self.later = later.read_bytes() if later.exists() else None
        truth = json.loads((self.folder / "truth.json").read_text())
        # Who is made by the later moment is not there yet.
        there = [row for row in truth["processes"] if not self.later or row["in_active_list"] or row["in_cid_table"]]
        self.processes = {(row["pid"], row["name"]): int(row["physical"], 16) for row in there}
        zeros = bytes(PAGE)
        pages = range(len(self.image) // PAGE)
        self.used = [n for n in pages if self.image[n * PAGE : (n + 1) * PAGE] != zeros]

    def whole(self, image):
        """The processes whose object is as it was, as far as the last field that is read."""
        same = lambda at: image[at : at + OBJECT] == self.image[at : at + OBJECT]  # noqa: E731
        return {row for row, at in self.processes.items() if same(at)}

    def page(self, n, image=None):
        return (image or self.image)[n * PAGE : (n + 1) * PAGE]

    def is_table(self, n):
        """Whether a page looks like a page table: all present entries lead into memory, and there are some."""
        page = self.page(n)
        entries = [int.from_bytes(page[at : at + 8], "little") for at in range(0, PAGE, 8)]
        present = [entry & FRAME for entry in entries if entry & 1]
        rest = [entry for entry in entries if not entry & 1]
        inside = all(0 < frame < len(self.image) for frame in present)
        return bool(present) and inside and sum(entry != 0 for entry in rest) < 64


def damaged(machine, chance):
    """Every kind of damage with its name."""

    def some(percent):
        return chance.sample(machine.used, max(1, len(machine.used) * percent // 100))

    def filled(percent, what):
        image = bytearray(machine.image)
        for n in some(percent):
            image[n * PAGE : (n + 1) * PAGE] = what()
        return image

    fillings = {
        "zeros": lambda: bytes(PAGE),
        "0xff": lambda: b"\xff" * PAGE,
        "noise": lambda: chance.randbytes(PAGE),
        "another page": lambda: machine.page(chance.choice(machine.used)),
    }
    for percent in (1, 5, 20):
        for name, what in fillings.items():
            yield name, f"{percent} %", filled(percent, what)
        image, pages = bytearray(machine.image), some(percent)
        for one, other in zip(pages[::2], pages[1::2]):
            image[one * PAGE : (one + 1) * PAGE] = machine.page(other)
            image[other * PAGE : (other + 1) * PAGE] = machine.page(one)
        yield "swapped", f"{percent} %", image
    for share in (10, 100, 1000):
        image = bytearray(machine.image)
        for n in machine.used:
            for _ in range(PAGE * share // 1_000_000 + (chance.random() < PAGE * share / 1_000_000 % 1)):
                image[n * PAGE + chance.randrange(PAGE)] = chance.randrange(256)
        yield "bytes", f"{share} of a million", image
    tables = [n for n in machine.used if machine.is_table(n)]
    for percent in (1, 5):
        image = bytearray(machine.image)
        slots = [n * PAGE + at for n in tables for at in range(0, PAGE, 8) if image[n * PAGE + at] & 1]
        for slot in chance.sample(slots, max(1, len(slots) * percent // 100)):
            bit = chance.randrange(48)
            image[slot + bit // 8] ^= 1 << bit % 8
        yield "table bits", f"{percent} % of entries", image
    for percent in (95, 80, 50):
        yield "cut", f"to {percent} %", machine.image[: len(machine.image) * percent // 100 // PAGE * PAGE]
    if machine.later:
        for percent in (5, 30):
            image = bytearray(machine.image)
            for n in some(percent):
                image[n * PAGE : (n + 1) * PAGE] = machine.page(n, machine.later)
            yield "smeared", f"{percent} %", image
        half = len(machine.image) // 2
        yield "smeared", "above the middle", machine.image[:half] + machine.later[half:]


def run(command):
    """What a command prints; nothing where it takes too long."""
    try:
        return subprocess.run([str(part) for part in command], capture_output=True, timeout=120, check=False).stdout
    except subprocess.TimeoutExpired:
        return b""


def rows_of(output, pid, name):
    try:
        rows = json.loads(output)
    except ValueError:
        return set()
    rows = rows["processes"]["items"] if isinstance(rows, dict) else rows
    return {(row[pid], str(row[name])) for row in rows}


class Tools:
    def __init__(self, arguments, scratch):
        self.arguments, self.scratch = arguments, scratch
        self.python = arguments.venv and pathlib.Path(arguments.venv, "bin/python")
        self.symbols = {}

    def names(self):
        return ["ntmem", "ntmem --scan"] + (["Volatility 3 psscan", "MemProcFS"] if self.python else [])

    def found(self, name, image, machine):
        symbols = machine.folder / "symbols"
        if name.startswith("ntmem"):
            options = ["--scan"] if "--scan" in name else []
            command = [self.arguments.ntmem, "pslist", *options, image, "--symbols", symbols, "--format", "json"]
            return rows_of(run(command), "pid", "name")
        if name == "MemProcFS":
            return rows_of(run([self.python, "-c", MEMPROCFS, image]), 0, 1)
        if machine.name not in self.symbols:
            # Volatility may delete symbol files that it cannot refresh.
            copy = pathlib.Path(self.scratch, "symbols-" + machine.name)
            self.symbols[machine.name] = shutil.copytree(symbols, copy)
        command = [self.python.with_name("vol"), "--offline", "-q", "-r", "json", "-s", self.symbols[machine.name],
                   "--cache-path", pathlib.Path(self.scratch, "cache"), "-f", image, "windows.psscan.PsScan"]
        return rows_of(run(command), "PID", "ImageFileName")


def machines(arguments):
    if arguments.machines:
        return [Machine(folder) for folder in arguments.machines]
    made = []
    for build in arguments.builds.split(","):
        folder = pathlib.Path(arguments.folder, build)
        if not (folder / "truth.json").exists():
            subprocess.run([arguments.forge, "moments", build, folder, "3"], check=True)
        made.append(Machine(folder))
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("machines", nargs="*", metavar="MACHINE")
    parser.add_argument("--venv", help="where the peers are installed")
    parser.add_argument("--builds", default="7601,19045,26100")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", default="target/recovered-share", help="where machines are made, and kept")
    parser.add_argument("--ntmem", default="target/debug/ntmem")
    parser.add_argument("--forge", default="target/debug/forge")
    parser.add_argument("--lost", action="store_true", help="name those that ntmem --scan does not find and whose object is whole")
    arguments = parser.parse_args()
    found, there = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        pathlib.Path(scratch, "cache").mkdir()
        tools = Tools(arguments, scratch)
        for machine in machines(arguments):
            for seed in range(arguments.seeds):
                for kind, how, image in damaged(machine, random.Random(f"{machine.name} {seed}")):
                    file = pathlib.Path(scratch, "image.raw")
                    file.write_bytes(image)
                    there[kind] = there.get(kind, 0) + len(machine.processes)
                    whole = machine.whole(image)
                    found[kind, WHOLE] = found.get((kind, WHOLE), 0) + len(whole)
                    for name in tools.names():
                        rows = {(pid, name[:14]) for pid, name in tools.found(name, file, machine)}
                        own = {row for row in machine.processes if (row[0], row[1][:14]) in rows}
                        found[kind, name] = found.get((kind, name), 0) + len(own)
                        if arguments.lost and name == "ntmem --scan" and whole - own:
                            print(f"{machine.name} {kind} {how} seed {seed}: lost {sorted(whole - own)}")
    columns = [WHOLE, *tools.names()]
    print("| damage | processes | " + " | ".join(columns) + " |")
    print("|---|---:" + "|---:" * len(columns) + "|")
    for kind in [*there, "all"]:
        kinds = list(there) if kind == "all" else [kind]
        total = sum(there[kind] for kind in kinds)
        shares = [sum(found[kind, name] for kind in kinds) / total for name in columns]
        print(f"| {kind} | {total} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


if __name__ == "__main__":
    main()
