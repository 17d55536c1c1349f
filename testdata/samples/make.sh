#!/bin/sh
# Makes the samples. With "pdb" as argument the symbols first (needs clang, lld-link and llvm of Debian 12); without, only the images, from the
# table of symbols that lies here. The PDB's GUID is a hash of its content, so a change of types or compiler gives a new one.
set -eu
cd "$(dirname "$0")"
forge() { cargo run -q -p ntmem-forge --bin forge -- "$@"; }
if [ "${1:-}" = pdb ]; then
    work=$(mktemp -d)
    forge c 19045 > "$work/ntkrnlmp.c"
    (
        cd "$work"
        clang --target=x86_64-pc-windows-msvc -w -g -gcodeview -fms-extensions -fno-common -ffreestanding \
            -ffile-compilation-dir=. -c ntkrnlmp.c -o ntkrnlmp.obj
        lld-link /nologo /entry:start /subsystem:native /nodefaultlib /debug /opt:noref /timestamp:0 '/pdbsourcepath:c:\forge' \
            /map:ntkrnlmp.map /pdb:ntkrnlmp.pdb /pdbaltpath:ntkrnlmp.pdb /out:ntkrnlmp.exe ntkrnlmp.obj
    )
    forge symbols "$work/ntkrnlmp.exe" "$work/ntkrnlmp.map" > symbols/globals.txt
    id=$(sed -n 's/^guid //p; s/^age //p' symbols/globals.txt | tr -d '\n')
    rm -rf symbols/ntkrnlmp.pdb
    mkdir -p "symbols/ntkrnlmp.pdb/$id"
    cp "$work/ntkrnlmp.pdb" "symbols/ntkrnlmp.pdb/$id/"
    rm -rf "$work"
fi
forge samples symbols/globals.txt .
sed -i '/^## SHA-256/q' README.md
{
    echo
    sha256sum clean.raw suspicious.raw symbols/ntkrnlmp.pdb/*/ntkrnlmp.pdb | sed 's/^\(.*\)  \(.*\)$/- `\1` `\2`/'
} >> README.md
