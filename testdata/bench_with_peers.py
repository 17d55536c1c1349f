#!/usr/bin/env python3
"""Measures ntmem beside Volatility 3 and MemProcFS, on the same forged image in the same run.

    bench_with_peers.py [--venv VENV] [--gib 4] [--growth] [--runs 3] [--folder target/bench-peers]

It forges a dense image (no zero pages, 4000 decoys and objects of processes that are over), and prints a table of wall time, CPU
time, peak memory beyond the mapped file, and how often ntmem's wall time goes into each. Beside the peers stand two limits: one
pass of memchr over the file, read (`wc -l`) and mapped (examples/read_all), and `cat FILE > /dev/null`. --growth measures ntmem alone
on 1, 4 and 16 GiB. Of several runs the fastest counts; the file is in the page cache. What runs:

    cargo build --release --features cli --bin ntmem && cargo build --release --example read_all
    cargo build --release -p ntmem-forge --bin forge

The peers are looked for in VENV; without it they are left out:

    python3 -m venv VENV && VENV/bin/pip install volatility3==2.28.2 memprocfs==5.19.0 leechcorepyc==2.23.3 pefile

(MemProcFS needs libusb-1.0-0 on Debian.) Exit status: 0, or 1 if something failed.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

BUILD = "19045"

MEMPROCFS = r"""
import sys, memprocfs
def get(process, field):
    try:
        return getattr(process, field)
    except RuntimeError:  # what it cannot read
        return None
vmm = memprocfs.Vmm(["-device", sys.argv[1], "-disable-symbolserver", "-waitinitialize"])
fields = ("pid", "ppid", "name", "pathkernel", "cmdline", "sid", "session")
rows = [[get(process, field) for field in fields] for process in vmm.process_list()]
key = vmm.reg_key(r"HKLM\SYSTEM\ControlSet001\Control\Session Manager\SubSystems")
assert len(rows) > 10 and key.values_dict()
"""


class Measured:
    """One run of a command: seconds of wall and CPU, and MiB of memory beside mapped files."""

    def __init__(self, command):
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.memory = 0.0
        watch = threading.Thread(target=self.watch, args=(process.pid,), daemon=True)
        watch.start()
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.perf_counter() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        watch.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        # 1 and 2 are verdicts.
        if process.returncode not in (0, 1, 2) or (process.returncode and "check" not in command):
            sys.exit(f"{command[0]} failed ({process.returncode}): {errors.decode(errors='replace')[-2000:]}")

    def watch(self, pid):
        try:
            while True:
                with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
                    lines = [line for line in status if line.startswith("RssAnon")]
                if not lines:
                    return
                self.memory = max(self.memory, int(lines[0].split()[1]) / 1024)
                time.sleep(0.002)
        except OSError:
            return


def best(runs, command):
    return min((Measured(command) for _ in range(runs)), key=lambda run: run.wall)


def forge(arguments, gib):
    folder = pathlib.Path(arguments.folder, f"{gib}-gib")
    image = folder / "image.raw"
    if not (image.exists() and image.stat().st_size == gib << 30 and (folder / "truth.json").exists()):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([arguments.forge, BUILD, folder, "dense", str(gib << 10)], check=True)
    with open(image, "rb", buffering=0) as file:
        buffer = bytearray(1 << 22)
        while file.readinto(buffer):
            pass
    return image, folder / "symbols"


def table(title, rows, first):
    print(f"\n{title}\n")
    print("| | wall s | CPU s | memory MiB | ratio |")
    print("|---|---:|---:|---:|---:|")
    for name, run in rows:
        print(f"| {name} | {run.wall:.3f} | {run.cpu:.3f} | {run.memory:.0f} | {run.wall / first.wall:.2f} |")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", help="where the peers are installed")
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--growth", action="store_true", help="ntmem alone on 1, 4 and 16 GiB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", default="target/bench-peers", help="where images are made, and kept")
    parser.add_argument("--ntmem", default="target/release/ntmem")
    parser.add_argument("--forge", default="target/release/forge")
    parser.add_argument("--read-all", default="target/release/examples/read_all")
    arguments = parser.parse_args()
    image, symbols = forge(arguments, arguments.gib)
    runs = arguments.runs
    python = arguments.venv and pathlib.Path(arguments.venv, "bin/python")

    def ours(*words):
        return best(runs, [arguments.ntmem, *words[:-1], words[-1], "--symbols", symbols])

    print(f"{arguments.gib} GiB, {os.cpu_count()} processors, best of {runs}, {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory() as folder:
        cache = pathlib.Path(folder, "cache")
        cache.mkdir()
        if python:
            # Volatility may delete symbol files that it cannot refresh.
            shutil.copytree(symbols, pathlib.Path(folder, "symbols"))

        def volatility(plugin):
            command = [python.with_name("vol"), "--offline", "-q", "-r", "json", "-s", pathlib.Path(folder, "symbols"),
                       "--cache-path", cache, "-f", image, plugin]
            return best(runs, command)

        listed = ours("check", "smss", image)
        rows = [("ntmem check smss", listed)]
        if python:
            rows.append(("MemProcFS start, list, SubSystems key", best(runs, [python, "-c", MEMPROCFS, image])))
            rows.append(("Volatility 3 pslist", volatility("windows.pslist.PsList")))
        table("Processes, registry and all checks, without a scan", rows, listed)

        scanned = ours("pslist", "--scan", image)
        rows = [("ntmem pslist --scan", scanned)]
        rows.append(("`wc -l FILE`", best(runs, ["wc", "-l", image])))
        rows.append(("memchr over the map, 1 thread", best(runs, [arguments.read_all, image])))
        rows.append(("`cat FILE > /dev/null`", best(runs, ["cat", image])))
        if python:
            rows.append(("Volatility 3 psscan", volatility("windows.psscan.PsScan")))
        table("The whole image searched for processes, threads and hives", rows, scanned)

    if arguments.growth:
        rows = []
        for gib in (1, 4, 16):
            image, symbols = forge(arguments, gib)
            rows.append((f"check smss, {gib} GiB", ours("check", "smss", image)))
            rows.append((f"pslist --scan, {gib} GiB", ours("pslist", "--scan", image)))
            rows.append((f"`wc -l`, {gib} GiB", best(runs, ["wc", "-l", image])))
        table("Growth (ratio: to the list of 1 GiB)", rows, rows[0][1])


if __name__ == "__main__":
    main()
