#!/usr/bin/env python3
"""Compares ntmem's process list of an image with those of Volatility 3 and MemProcFS, offline.

    compare_with_peers.py IMAGE --symbols PDB_OR_ISF_DIR [--vol-symbols ISF_DIR] [--ntmem PATH]

The peers are looked for in the Python that runs this script; whichever is missing is skipped. To have both:

    python3 -m venv venv && venv/bin/pip install volatility3==2.28.2 memprocfs==5.19.0 leechcorepyc==2.23.3 pefile
    venv/bin/python testdata/compare_with_peers.py IMAGE --symbols DIR

(MemProcFS needs libusb-1.0-0 on Debian.) ISF_DIR holds `windows/ntkrnlmp.pdb/GUID-AGE.json.xz`; Volatility may delete files
that it cannot refresh, so a copy is made of it first. Exit status: 0 all agree, 1 differences, 2 no peer could run.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile


def ours(arguments):
    command = [arguments.ntmem, "pslist", arguments.image, "--format", "json", "--symbols", arguments.symbols]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"ntmem failed ({ran.returncode}): {ran.stderr}")
    items = json.loads(ran.stdout)["processes"]["items"]
    return {
        row["eprocess"]: {
            "pid": row["pid"],
            "ppid": row["ppid"],
            "name": row["name"],
            "session": row["session"],
            "wow64": row["wow64"],
            "threads": row["threads"],
            "created": (row["created"] or "")[:19] or None,
            "exited": (row["exited"] or "")[:19] or None,
            "path": row["path"],
            "command_line": row["command_line"],
            "user": row["user"],
        }
        for row in items
        if "active_list" in row["sources"]
    }


def volatility(arguments):
    try:
        import volatility3  # noqa: F401
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        symbols = pathlib.Path(folder, "symbols")
        shutil.copytree(arguments.vol_symbols or arguments.symbols, symbols)
        cache = pathlib.Path(folder, "cache")
        cache.mkdir()
        command = [str(pathlib.Path(sys.executable).with_name("vol")), "--offline", "-q", "-r", "json",
                   "-s", symbols, "--cache-path", cache, "-f", arguments.image]

        def plugin(name):
            ran = subprocess.run([*command, name], capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                sys.exit(f"Volatility failed on {name}: {ran.stderr[-2000:]}")
            return json.loads(ran.stdout)

        rows = {}
        for row in plugin("windows.pslist"):
            rows[f"0x{row['Offset(V)'] & 0xFFFFFFFFFFFFFFFF | 0xFFFF000000000000:016x}"] = {
                "pid": row["PID"],
                "ppid": row["PPID"],
                "name": row["ImageFileName"],
                "session": row["SessionId"],
                "wow64": row["Wow64"],
                "threads": row["Threads"],
                "created": (row["CreateTime"] or "")[:19] or None,
                "exited": (row["ExitTime"] or "")[:19] or None,
            }
        by_pid = {row["pid"]: row for row in rows.values()}
        for row in plugin("windows.cmdline"):
            text = row["Args"] or ""
            if row["PID"] in by_pid and not text.startswith(("Required memory", "Process")):
                by_pid[row["PID"]]["command_line"] = text or None
        users = {}
        for row in plugin("windows.getsids"):
            users.setdefault(row["PID"], row["SID"])
        for pid, row in by_pid.items():
            if pid in users:
                row["user"] = users[pid]
    return rows


def memprocfs(arguments):
    try:
        import memprocfs as peer
    except ImportError:
        return None
    vmm = peer.Vmm(["-device", arguments.image, "-disable-symbolserver", "-waitinitialize"])
    return {
        f"0x{process.eprocess:016x}": {
            "pid": process.pid,
            "ppid": process.ppid,
            # MemProcFS gives System a path of its own making.
            "path": process.pathkernel or None if process.pid != 4 else None,
            "user": process.sid or None,
            "wow64": process.is_wow64,
        }
        for process in vmm.process_list()
    }


def differences(name, mine, theirs):
    found = []
    for address in sorted(mine.keys() | theirs.keys()):
        if address not in theirs:
            found.append(f"{address} {mine[address]['pid']} {mine[address]['name']}: not listed by {name}")
        elif address not in mine:
            found.append(f"{address} {theirs[address]['pid']}: listed by {name} alone")
        else:
            for field, value in theirs[address].items():
                if value != mine[address][field]:
                    found.append(f"{address} {mine[address]['pid']} {field}: ntmem {mine[address][field]!r}, {name} {value!r}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--symbols", required=True, help="what ntmem is given")
    parser.add_argument("--vol-symbols", help="what Volatility is given; the same if left out")
    parser.add_argument("--ntmem", default="target/release/ntmem")
    arguments = parser.parse_args()
    mine = ours(arguments)
    print(f"ntmem: {len(mine)} processes in the active list")
    status, ran = 0, 0
    for name, peer in (("Volatility 3", volatility), ("MemProcFS", memprocfs)):
        theirs = peer(arguments)
        if theirs is None:
            print(f"{name}: not installed, skipped")
            continue
        ran += 1
        found = differences(name, mine, theirs)
        print(f"{name}: {len(theirs)} processes, {len(found)} differences")
        for line in found:
            print(f"  {line}")
        status |= bool(found)
    sys.exit(status if ran else 2)


if __name__ == "__main__":
    main()
