#!/usr/bin/env python3
"""Holds what MemProcFS reads of a forged machine against the machine's truth file: command lines, image paths, the SYSTEM hive.

    forge 19045 DIR behind-store && pages_with_memprocfs.py DIR...

Each DIR holds image.raw, truth.json and the page files that `forge` writes beside them. Needs `memprocfs` and `leechcorepyc` (PyPI),
libusb-1.0-0, and for the compressed store before 24H2 a libMSCompression.so that exports xpress_decompress, all on LD_LIBRARY_PATH.
Exit status: 0 all agree, 1 differences.

Known differences, which are MemProcFS's: it reads nothing of a view beyond LastContiguousPte (behind-extension); it reads no page table
that is not present (behind-tables); of hives that were unmapped, or whose section's parts are overwritten, it reads nothing
(behind-hive-file-unmapped, behind-hive-cache); it takes bit 45 alone off transition entries (+mask47); before build 15063 it knows no mask for
entries that are not present, and before 17134 it takes a page file's number from bits 1 to 4; it finds the store of 22H2 by symbols
alone.
"""

import json
import pathlib
import sys

import memprocfs


def stored(value):
    """Bytes of a value in the truth file. REG_LINK has no zero at its end."""
    kind, data = value["type"], value["data"]
    wide = lambda text: text.encode("utf-16le")  # noqa: E731
    if kind in ("REG_SZ", "REG_EXPAND_SZ"):
        return wide(data + "\0")
    if kind == "REG_LINK":
        return wide(data)
    if kind == "REG_MULTI_SZ":
        return wide("".join(text + "\0" for text in data) + "\0")
    if kind in ("REG_DWORD", "REG_QWORD"):
        return int(data, 16).to_bytes(4 if kind == "REG_DWORD" else 8, "little")
    return bytes.fromhex(data)


def read(ask):
    """What MemProcFS answers, or why it does not."""
    try:
        return ask()
    except RuntimeError as error:
        return error


def opened(folder, truth):
    arguments = ["-device", str(folder / "image.raw"), "-disable-symbolserver", "-waitinitialize", "-norefresh"]
    for number, name in enumerate(truth["paging_files"]):
        if (folder / name).exists():
            arguments += [f"-pagefile{number}", str(folder / name)]
    vmm = memprocfs.Vmm(arguments)
    # What it could not read before it knew of page files it would not try again.
    vmm.set_config(memprocfs.OPT_REFRESH_ALL, 1)
    return vmm


def processes(vmm, truth):
    theirs = {process.pid: process for process in vmm.process_list()}
    for row in truth["processes"]:
        if not row["in_active_list"] or row["command_line"] is None or row["exited"]:
            continue
        process = theirs.get(row["pid"])
        for what, ask in (("command_line", lambda: process.cmdline), ("peb_path", lambda: process.pathuser)):
            found = read(ask) if process else "not listed"
            yield f"{row['pid']} {row['name']} {what}", found, row[what]


def keys(vmm, path, tree):
    found = read(lambda: vmm.reg_key(path))
    if isinstance(found, RuntimeError):
        yield path, found, "a key"
        return
    values = {value.name: value for value in found.values()}
    for name, value in tree["values"].items():
        # A path in a value's name confuses its interface.
        if "\\" not in name:
            yield f"{path} {name}", read(lambda n=name: bytes(values[n].value) if n in values else None), stored(value)
    for name, below in tree["keys"].items():
        yield from keys(vmm, f"{path}\\{name}", below)


def main():
    status = 0
    for folder in map(pathlib.Path, sys.argv[1:]):
        truth = json.loads((folder / "truth.json").read_text())
        vmm = opened(folder, truth)
        system = next(hive for hive in truth["hives"] if hive["root"].endswith("\\SYSTEM"))
        rows = list(processes(vmm, truth))
        for name, tree in system["tree"]["keys"].items():
            rows += keys(vmm, f"HKLM\\SYSTEM\\{name}", tree)
        wrong = [row for row in rows if row[1] != row[2]]
        print(f"{folder.name}: {len(rows)} compared, {len(wrong)} differ")
        for what, found, expected in wrong[:8]:
            print(f"  {what}: {found!r}, expected {expected!r}")
        status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(main())
