#!/usr/bin/env python3
"""Checks the dependencies: licences, bans and sources as deny.toml has them, and that every one is used.

    .ci/dependencies.py [--host]     --host: only what this platform needs, where the rest cannot be downloaded

`cargo deny check` knows more (advisories); this needs nothing but cargo and Python 3.11. Exit status: 0, or 1 with what is wrong.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def metadata():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    if "--host" in sys.argv:
        version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
        command += ["--filter-platform", re.search(r"^host: (.*)$", version, re.M).group(1)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def allowed(expression, licences):
    """Whether an SPDX expression can be met with these licences: OR, AND, WITH, brackets, and `/` for OR in old crates."""
    tokens = re.findall(r"[()]|[^\s()/]+|/", expression)

    def either():
        met = both()
        while tokens and tokens[0] in ("OR", "/"):
            tokens.pop(0)
            met = both() or met
        return met

    def both():
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = one() and met
        return met

    def one():
        token = tokens.pop(0)
        if token == "(":
            met = either()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token += f" WITH {tokens.pop(0)}"
        return token in licences

    return either()


def unused(package):
    """Dependencies of a package of the workspace that no line of it names."""
    folder = pathlib.Path(package["manifest_path"]).parent
    for dependency in package["dependencies"]:
        word = (dependency["rename"] or dependency["name"]).replace("-", "_")
        folders = ["src"] if dependency["kind"] is None else ["src", "tests", "benches", "examples"]
        folders = ["."] if dependency["kind"] == "build" else folders
        used = re.compile(rf"\b{word}(\s*::|;| as |!)")
        lines = (
            line.split("//")[0] if not line.lstrip().startswith(("///", "//!")) else line
            for name in folders
            for file in (folder / name).rglob("*.rs")
            for line in file.read_text().splitlines()
        )
        if not any(used.search(line) for line in lines):
            yield f"{package['name']}: no line names the dependency {dependency['name']} ({', '.join(folders)})"


def main():
    rules, tree, wrong = tomllib.loads((ROOT / "deny.toml").read_text()), metadata(), []
    licences = set(rules["licenses"]["allow"])
    banned = {ban["crate"] for ban in rules["bans"]["deny"]}
    registries = {f"registry+{url}" for url in rules["sources"]["allow-registry"]}
    needed = {node["id"] for node in tree["resolve"]["nodes"]}
    versions = {}
    for package in tree["packages"]:
        if package["id"] not in needed:
            continue
        name, source = f"{package['name']} {package['version']}", package["source"]
        versions.setdefault(package["name"], []).append(package["version"])
        if package["name"] in banned:
            wrong.append(f"{name} is banned in deny.toml")
        if source is None:
            wrong += unused(package)
        elif source not in registries:
            wrong.append(f"{name} comes from {source}")
        elif not package["license"] or not allowed(package["license"], licences):
            wrong.append(f"{name} has the licence {package['license']}, which deny.toml does not allow")
    for name, several in sorted(versions.items()):
        if len(several) > 1:
            print(f"note: {name} is there more than once: {', '.join(several)}")
    print("\n".join(wrong) or f"{len(needed)} packages: licences, sources, bans and uses are right")
    sys.exit(bool(wrong))


main()
