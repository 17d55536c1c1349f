#!/usr/bin/env python3
"""Measures many images in one command, beside a shell that starts the program once for each.

    bench_many_images.py IMAGE... [--count 500] [--program target/release/ntmem] [--folder target/bench-images] [--runs 3]

Out of the images that are named it makes as many as --count: copies, and, every tenth, one that is cut short (a half, a quarter, an
eighth of it, one page). A copy is a hard link where the file system has such, so that 500 take the room of a few; all are in the page
cache after the first run, which is not measured. It prints, for `ntmem check ... --format jsonl` with --jobs 1 and 2 and for the
shell's loop: seconds of wall and CPU, milliseconds of CPU an image, and the most memory beside the mapped files; then whether the rows
are the same whatever --jobs is, how many images gave a verdict and how many a reason why not, and the exit status.

    cargo build --release --features cli --bin ntmem

Exit status: 0, or 1 if the rows differ, an image is missing among them, or --limit (milliseconds of CPU an image, 15
unless told, for images of 64 MiB) is passed.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import resource
import shlex
import shutil
import subprocess
import sys
import threading
import time

PAGE = 4096


class Measured:
    """One run of a command into a file: seconds of wall and CPU, MiB of memory beside mapped files, exit status."""

    def __init__(self, command, into):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        with open(into, "wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        self.memory, self.over = 0.0, False
        watch = threading.Thread(target=self.watch, args=(process.pid,), daemon=True)
        watch.start()
        self.status = process.wait()
        self.wall = time.perf_counter() - start
        self.over = True
        watch.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def watch(self, pid):
        """Anonymous memory, which mapped files are not; of a shell that of its child is not seen."""
        while not self.over:
            try:
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        self.memory = max(self.memory, int(line.split()[1]) / 1024)
            except (OSError, ValueError):
                return
            time.sleep(0.002)


def make(images, count, folder):
    """Copies and cuts of the images; gives their paths and the bytes of all."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made, size = [], 0
    for number in range(count):
        image = images[number % len(images)]
        path = folder / f"{number:04}.raw"
        whole = image.stat().st_size
        if number % 10 == 9:
            part = (whole // 2, whole // 4, whole // 8, PAGE)[number // 10 % 4]
            with open(image, "rb") as source, open(path, "wb") as out:
                while part > 0:
                    piece = source.read(min(part, 1 << 20))
                    out.write(piece)
                    part -= len(piece)
        else:
            try:
                os.link(image, path)
            except OSError:
                shutil.copyfile(image, path)
        made.append(path)
        size += path.stat().st_size
    return made, size


def rows(file):
    """The rows, without the one that says how the program was called."""
    with open(file, "rb") as lines:
        return [json.loads(line) for line in lines if not line.startswith(b'{"type":"run"')]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=pathlib.Path, metavar="IMAGE")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=15.0)
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("target/release/ntmem"))
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("target/bench-images"))
    options = parser.parse_args()
    program = str(options.program.resolve())
    made, size = make([image.resolve() for image in options.images], options.count, options.folder)
    names = options.folder.with_suffix(".list")
    names.write_text("".join(f"{path}\n" for path in made))
    work = options.folder.with_suffix(".out")
    work.mkdir(exist_ok=True)
    check = [program, "check", "--offline", "--format", "jsonl"]
    loop = f'while read -r image; do {shlex.join(check)} "$image"; done < {shlex.quote(str(names))}'
    commands = {
        "--jobs 1": [*check, "--jobs", "1", f"@{names}"],
        "--jobs 2": [*check, "--jobs", "2", f"@{names}"],
        "a shell's loop": ["sh", "-c", loop],
    }
    print(f"{len(made)} images, {size / (1 << 20):.0f} MiB, {os.cpu_count()} processors, best of {options.runs}")
    print(f"{'':<16}{'wall s':>9}{'CPU s':>9}{'CPU ms each':>13}{'memory MiB':>12}{'exit':>6}")
    good, seen = True, {}
    for name, command in commands.items():
        file = work / (hashlib.sha256(name.encode()).hexdigest()[:8] + ".jsonl")
        Measured(command, file)
        runs = [Measured(command, file) for _ in range(options.runs)]
        best = min(runs, key=lambda run: run.cpu)
        each = best.cpu * 1000 / len(made)
        memory = f"{max(run.memory for run in runs):.0f}" if name.startswith("--") else "-"
        print(f"{name:<16}{min(run.wall for run in runs):>9.2f}{best.cpu:>9.2f}{each:>13.2f}{memory:>12}{best.status:>6}")
        seen[name] = rows(file)
        if name.startswith("--"):
            good &= each <= options.limit
    good &= seen["--jobs 1"] == seen["--jobs 2"]
    print("rows are the same:", "yes" if seen["--jobs 1"] == seen["--jobs 2"] else "no")
    ends = collections.Counter()
    told = set()
    for row in seen["--jobs 1"]:
        if row["type"] == "verdict":
            ends[row["verdict"]] += 1
        elif row["type"] == "failed":
            ends["not analysed"] += 1
        else:
            continue
        told.add(row["image"])
    good &= len(told) == len(made)
    print(f"{len(told)} images are told of:", ", ".join(f"{count} {end}" for end, count in sorted(ends.items())))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
