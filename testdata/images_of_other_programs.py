#!/usr/bin/env python3
"""Images that other programs make of a forged machine: each must give what the raw image gives.

usage: images_of_other_programs.py NTMEM FORGE FOLDER

NTMEM and FORGE are the programs (cargo build --release --features cli; cargo build -p ntmem-forge). What is not installed is
skipped, and said: qemu-system-x86_64, qemu-img, ewfacquire, avml, zstd, pzstd, xz, gzip, pigz, bzip2, zip, 7z, and the library liblzo2,
which packs the pages of a kdump that this script writes.
"""

import ctypes
import ctypes.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

from bench_formats import kdump


def lzo():
    """What packs a page with LZO, as makedumpfile does. None: the library is not installed."""
    name = ctypes.util.find_library("lzo2")
    if name is None:
        return None
    library = ctypes.CDLL(name)

    def pack(page):
        out, length = ctypes.create_string_buffer(len(page) + len(page) // 16 + 67), ctypes.c_size_t()
        work = ctypes.create_string_buffer(1 << 17)
        if library.lzo1x_1_compress(page, ctypes.c_size_t(len(page)), out, ctypes.byref(length), work):
            raise RuntimeError("liblzo2 failed")
        return out.raw[: length.value]

    return pack


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def listing(ntmem, image):
    out = subprocess.run([ntmem, "pslist", image, "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if out.returncode != 0:
        return out.stderr.decode(errors="replace"), None
    document = json.loads(out.stdout)
    return without_offsets(document["processes"]), document["image"]


def without_offsets(value):
    """Where something lies in the file is another place in every file."""
    if isinstance(value, dict):
        return {name: without_offsets(part) for name, part in value.items() if name != "file_offset"}
    return [without_offsets(part) for part in value] if isinstance(value, list) else value


def memory(ntmem, image, raw, folder):
    """The share of the raw image's pages that differ once the image is converted back."""
    back = os.path.join(folder, "back.raw")
    if os.path.exists(back):
        os.remove(back)
    run(ntmem, "convert", image, back)
    differ = total = 0
    with open(raw, "rb") as one, open(back, "rb") as other:
        while page := one.read(4096):
            total += 1
            there = other.read(len(page))
            differ += there.ljust(len(page), b"\0") != page
    os.remove(back)
    return differ, total


class Qemu:
    """A machine that stands still, with an image as its memory."""

    def __init__(self, raw, folder, machine="pc", backend="ram", disk=()):
        size = os.path.getsize(raw)
        self.ram = os.path.join(folder, "guest.ram")
        shutil.copyfile(raw, self.ram)
        self.disk = os.path.join(folder, "guest.qcow2")
        if os.path.exists(self.disk):
            os.remove(self.disk)
        run("qemu-img", "create", "-q", "-f", "qcow2", *disk, self.disk, "64M")
        self.path = os.path.join(folder, "qmp")
        if os.path.exists(self.path):
            os.remove(self.path)
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", f"{machine},memory-backend={backend}", "-m", f"{size >> 10}k", "-S", "-display", "none",
             "-nodefaults", "-object", f"memory-backend-file,id={backend},size={size},mem-path={self.ram},share=on",
             "-drive", f"file={self.disk},if=virtio,format=qcow2", "-qmp", f"unix:{self.path},server=on,wait=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(100):
            if os.path.exists(self.path):
                break
            time.sleep(0.1)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.path)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def hmp(self, line):
        return self.ask("human-monitor-command", **{"command-line": line})

    def migrate(self, file):
        self.ask("migrate", uri=f"exec:cat > {file}")
        while self.ask("query-migrate").get("status") not in ("completed", "failed"):
            time.sleep(0.1)

    def end(self):
        self.ask("quit")
        self.process.wait()


def main():
    ntmem, forge, folder = sys.argv[1:4]
    os.makedirs(folder, exist_ok=True)
    os.environ["NTMEM_CACHE"] = os.path.join(folder, "cache")
    run(forge, "19045", folder, "roomy")
    raw = os.path.join(folder, "image.raw")
    os.truncate(raw, -(-os.path.getsize(raw) // (1 << 20)) << 20)
    # Readers of symbols look beside the image; so does ntmem.
    truth, _ = listing(ntmem, raw)
    wrong = 0

    def judge(name, file, whole=True):
        nonlocal wrong
        processes, image = listing(ntmem, file)
        if image is None:
            wrong += 1
            print(f"{name:28} FAILED: {processes.strip().splitlines()[-1]}")
            return
        differ, total = memory(ntmem, file, raw, folder)
        equal = processes == truth
        wrong += not equal or (whole and differ > 32)
        size = os.path.getsize(file)
        print(f"{name:28} {'same' if equal else 'OTHER'} {len(processes['items'])} processes, {differ} of {total} pages differ, "
              f"{size / os.path.getsize(raw):.2f} of the raw size, {image['format']} {image.get('within')} {image.get('maker')}")

    def have(program):
        if shutil.which(program):
            return True
        print(f"{program:28} skipped, it is not installed")
        return False

    def packed(name, command, file, whole=True):
        with open(file, "wb") as out:
            subprocess.run(command, check=True, stdout=out)
        judge(name, file, whole)

    out = lambda name: os.path.join(folder, name)
    for program, command in [("zstd", ["zstd", "-q", "-c", raw]), ("pzstd", ["pzstd", "-q", "-c", raw]), ("xz", ["xz", "-0", "-c", raw]),
                             ("gzip", ["gzip", "-1", "-c", raw]), ("pigz", ["pigz", "-1", "-c", raw]), ("bzip2", ["bzip2", "-1", "-c", raw])]:
        if have(program):
            packed(program, command, out("packed." + program))
    if have("xz"):
        packed("xz of many blocks", ["xz", "-0", "-T2", "--block-size=4MiB", "-c", raw], out("blocks.xz"))
    if pack := lzo():
        kdump(pathlib.Path(raw), out("lzo.kdump"), pack, 2)
        judge("kdump of liblzo2", out("lzo.kdump"))
    else:
        print(f"{'kdump of liblzo2':28} skipped, the library is not installed")
    if have("zip"):
        run("zip", "-q", "-j", out("image.zip"), raw)
        judge("zip", out("image.zip"))
    if have("7z"):
        for name, more in [("7z", []), ("7z lzma", ["-m0=lzma"]), ("7z of many blocks", ["-ms=off"])]:
            target = out(name.replace(" ", "-") + ".7z")
            if os.path.exists(target):
                os.remove(target)
            run("7z", "a", "-mx=1", *more, target, raw, os.path.join(folder, "truth.json"))
            judge(name, target)
        for name, end, more in [("zip, Deflate64", ".zip", ["-tzip", "-mm=Deflate64"]), ("7z in volumes", ".7z", ["-v300k"])]:
            target = out(name.replace(", ", "-").replace(" ", "-") + end)
            for old in [target, target + ".001"]:
                if os.path.exists(old):
                    os.remove(old)
            run("7z", "a", *more, target, raw)
            judge(name, target if os.path.exists(target) else target + ".001")
    if have("ewfacquire"):
        for name, more in [("ewf", ["-c", "fast"]), ("ewf-segments", ["-c", "none", "-S", "4MiB"])]:
            for kind in ["encase6", "linen6", "encase5", "ftk"]:
                target = out(f"{name}-{kind}")
                run("ewfacquire", "-u", "-f", kind, *more, "-t", target, raw)
                judge(f"{name} {kind}", target + ".E01")
    if have("avml"):
        run("avml", "convert", "--source-format", "raw", "--format", "lime_compressed", raw, out("image.avml"))
        judge("avml", out("image.avml"))
        run("avml", "convert", "--source-format", "raw", "--format", "lime", raw, out("image.lime"))
        judge("avml, lime", out("image.lime"))
        # The other way round: what ntmem writes is read by avml.
        for old in ["ours.lime", "theirs.raw"]:
            if os.path.exists(out(old)):
                os.remove(out(old))
        run(ntmem, "convert", raw, out("ours.lime"), "--to", "lime")
        run("avml", "convert", "--source-format", "lime", "--format", "raw", out("ours.lime"), out("theirs.raw"))
        same = open(raw, "rb").read() == open(out("theirs.raw"), "rb").read()
        wrong += not same
        print(f"{'lime of ours, by avml':28} {'same' if same else 'OTHER'}")
    if have("qemu-system-x86_64") and have("qemu-img"):
        for machine in ["pc", "q35"]:
            qemu = Qemu(raw, folder, machine)
            qemu.ask("dump-guest-memory", paging=False, protocol="file:" + out("guest.elf"))
            judge(f"qemu {machine} elf", out("guest.elf"))
            qemu.ask("dump-guest-memory", paging=False, protocol="file:" + out("guest.kdump"), format="kdump-zlib")
            judge(f"qemu {machine} kdump-zlib", out("guest.kdump"))
            qemu.hmp("savevm state")
            qemu.migrate(out("guest.migrate"))
            judge(f"qemu {machine} migrate", out("guest.migrate"))
            qemu.end()
            judge(f"qemu {machine} savevm", qemu.disk)
        qemu = Qemu(raw, folder, disk=["-o", "extended_l2=on,cluster_size=128k"])
        qemu.hmp("savevm state")
        qemu.end()
        judge("qemu savevm, extended L2", qemu.disk)
    print("all right" if wrong == 0 else f"{wrong} wrong")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
