#!/usr/bin/env python3
"""Keeps what the program prints before a change, and says afterwards what is different.

    record_outputs.py images FOLDER [--forge PATH] [--material DIR]   makes the images once: bundled, of the material, forged
    record_outputs.py record PROGRAM IMAGES OUT [--only WORD]         runs every command over every image
    record_outputs.py compare OLD NEW [--brief]                       what differs between two records

A change that moves code must print the same. JSON may gain members and nothing else: a member that is gone, another value, an
array of another length is a difference. Text that differs is shown as a diff, each set of changed lines once, with how many
outputs it is in. Both programs read the same images, so a change of the forge in between does not matter. What runs:

    cargo build --release --features cli --bin ntmem && cargo build -p ntmem-forge --bin forge

Exit status of `compare`: 0 the same but for members added to JSON, 1 texts differ too, 2 JSON or an exit status differs.
"""

import argparse
import collections
import concurrent.futures
import difflib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SESSION_MANAGER = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager"
COMMANDS = {
    "info": ["info"],
    "pslist": ["pslist"],
    "pstree": ["pstree"],
    "psxview": ["psxview"],
    "sessions": ["sessions"],
    "registry": ["registry", SESSION_MANAGER],
    "hives": ["hives"],
    "check": ["check", "smss"],
    "symbols": ["symbols"],
}
# Without those that only make an image large.
LARGE = {"dense"}


def forged(folder, forge):
    """Every variant of the forge on every build, and a clean machine in every container."""
    usage = subprocess.run([forge], capture_output=True, text=True, check=False).stderr
    words = {line.split(":")[0]: line.split(":", 1)[1].split() for line in usage.splitlines() if ":" in line}
    builds, variants = words["builds"], [name for name in words["variants"] if name not in LARGE]
    containers = [word.rstrip(",") for word in words["containers"][: words["containers"].index("MiB") - 1]]
    for build in builds:
        for variant in variants:
            make(folder / f"{build}-{variant}", [forge, build, None, variant])
        for container in containers:
            if container != "raw":
                make(folder / f"{build}-clean-{container}", [forge, build, None, "clean", container])


def make(folder, command):
    folder.mkdir(parents=True)
    ran = subprocess.run([str(folder) if part is None else part for part in command], capture_output=True, check=False)
    if ran.returncode != 0:
        # Windows 7 has no silo, say.
        print(f"{folder.name} cannot be forged: {ran.stderr.decode().strip().splitlines()[1:2]}")
        shutil.rmtree(folder)


def images(arguments):
    folder = pathlib.Path(arguments.folder)
    for name in ("clean", "suspicious"):
        (folder / f"bundled-{name}").mkdir(parents=True)
        shutil.copy(ROOT / f"testdata/samples/{name}.raw", folder / f"bundled-{name}/image.raw")
        shutil.copytree(ROOT / "testdata/samples/symbols/ntkrnlmp.pdb", folder / f"bundled-{name}/symbols/ntkrnlmp.pdb")
    material = pathlib.Path(arguments.material or os.environ.get("NTMEM_TEST_MATERIAL") or ROOT / "../shared")
    for packed in sorted(material.glob("samples/*/image.raw.zst")):
        # Once with the symbols that belong to it, once with what the program has by itself.
        with_symbols, bare = (folder / f"{packed.parent.name}-{kind}" for kind in ("symbols", "bare"))
        for target in (with_symbols, bare):
            target.mkdir()
        subprocess.run(["zstd", "-q", "-d", packed, "-o", with_symbols / "image.raw"], check=True)
        os.link(with_symbols / "image.raw", bare / "image.raw")
        shutil.copytree(material / "symbols/ntkrnlmp.pdb", with_symbols / "symbols/ntkrnlmp.pdb")
    forged(folder, str(pathlib.Path(arguments.forge).resolve()))
    print(f"{len(list(folder.iterdir()))} images in {folder}")


def record(arguments):
    program, out = str(pathlib.Path(arguments.program).resolve()), pathlib.Path(arguments.out)
    folders = sorted(f for f in pathlib.Path(arguments.images).resolve().iterdir() if arguments.only in f.name)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = sum(pool.map(lambda folder: record_image(program, folder, out / folder.name), folders))
    print(f"{runs} outputs of {len(folders)} images in {out}")


def record_image(program, folder, out):
    out.mkdir(parents=True)
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TZ": "UTC"}
    environment.pop("_NT_SYMBOL_PATH", None)
    runs = 0
    for name, command in COMMANDS.items():
        for scan in ([], ["--scan"]) if name != "symbols" else ([],):
            for form in ("text", "json"):
                line = [program, *command, "image.raw", *scan, "--format", form, "--offline", "--no-cache"]
                ran = subprocess.run(line, cwd=folder, env=environment, capture_output=True, check=False)
                stem = out / f"{name}{'-scan' if scan else ''}.{form}"
                stem.write_text(normal(ran.stdout.decode(), form, folder))
                status = f"status {ran.returncode}\n{ran.stderr.decode().replace(str(folder), 'FOLDER')}"
                stem.with_suffix(f".{form}.status").write_text(status)
                runs += 1
    return runs


def normal(text, form, folder):
    """The same for whoever runs it: no folder, no version; JSON indented, in the order that it was written in."""
    text = re.sub(r"\bntmem \d+\.\d+\.\d+", "ntmem VERSION", text.replace(str(folder), "FOLDER"))
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n" if form == "json" and text else text


def differences(old, new, path=""):
    """Where JSON is more than extended: path, what was there, what is there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            if name in new:
                yield from differences(value, new[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}", value, "(gone)"
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path}[]", f"{len(old)} items", f"{len(new)} items"
        for number, (ours, theirs) in enumerate(zip(old, new)):
            yield from differences(ours, theirs, f"{path}[{number}]")
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, old, new


def added(old, new, path=""):
    """Members that are new, without the numbers of items."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{path}.{name}" for name in new if name not in old)
        for name in old.keys() & new.keys():
            yield from added(old[name], new[name], f"{path}.{name}")
    elif isinstance(old, list) and isinstance(new, list):
        for ours, theirs in zip(old, new):
            yield from added(ours, theirs, f"{path}[]")


def changed_lines(old, new):
    """The changed lines of a diff, with a line around them."""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1))[2:]
    return "\n".join(line if not line.startswith("@@") else "@@" for line in lines)


def compare(arguments):
    old, new = pathlib.Path(arguments.old), pathlib.Path(arguments.new)
    names = {str(path.relative_to(folder)) for folder in (old, new) for path in folder.rglob("*") if path.is_file()}
    one_side, values, extensions = [], collections.defaultdict(list), collections.Counter()
    texts = collections.defaultdict(list)
    for name in sorted(names):
        if not (old / name).is_file() or not (new / name).is_file():
            one_side.append(name)
            continue
        before, after = (old / name).read_text(), (new / name).read_text()
        if name.endswith(".json") and before and after:
            before, after = json.loads(before), json.loads(after)
            extensions.update(set(added(before, after)))
            for path, ours, theirs in differences(before, after):
                # One line for what is the same change in many items and files.
                values[(re.sub(r"\[\d+\]", "[]", path), repr(ours), repr(theirs))].append(name)
        elif before != after:
            if name.endswith(".status") and before.split("\n", 1)[0] != after.split("\n", 1)[0]:
                values[("exit status", before.strip(), after.strip())].append(name)
            texts[(name.split("/")[1], changed_lines(before, after))].append(name)
    for path, count in sorted(extensions.items()):
        print(f"JSON added: {path} (in {count} outputs)")
    for name in one_side:
        print(f"ONLY IN ONE RECORD: {name}")
    for (path, ours, theirs), where in values.items():
        print(f"DIFFERENT: {path}: {ours} -> {theirs} (in {len(where)}, first {where[0]})")
    for (kind, lines), where in sorted(texts.items()):
        print(f"TEXT {kind}: in {len(where)}, first {where[0]}")
        if not arguments.brief:
            print(lines)
    print(f"{len(names)} files: {len(extensions)} members added, {len(values) + len(one_side)} differences of JSON or status,"
          f" {len(texts)} of text in {sum(map(len, texts.values()))} files")
    sys.exit(2 if values or one_side else 1 if texts else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("images")
    command.add_argument("folder")
    command.add_argument("--forge", default=str(ROOT / "target/debug/forge"))
    command.add_argument("--material")
    command.set_defaults(run=images)
    command = commands.add_parser("record")
    command.add_argument("program")
    command.add_argument("images")
    command.add_argument("out")
    command.add_argument("--only", default="")
    command.set_defaults(run=record)
    command = commands.add_parser("compare")
    command.add_argument("old")
    command.add_argument("new")
    command.add_argument("--brief", action="store_true")
    command.set_defaults(run=compare)
    arguments = parser.parse_args()
    arguments.run(arguments)


main()
