#!/bin/sh
# Makes src/symbols/built_in.ntpack of the extra test material: symbol files of 213 kernels, the
# symbol file of 26100, and C headers of all public types. Run it at the top of the repository after a layout! was changed.
set -eu
material=${NTMEM_TEST_MATERIAL:-../shared}
headers=$(mktemp -d)
trap 'rm -rf "$headers"' EXIT
tar -xJf "$material/symbols/type-headers.tar.xz" -C "$headers"
cargo run --quiet -p ntmem-tables -- src/symbols/built_in.ntpack \
    --isf "$material/symbols/kernels" "JPCERTCC/Windows-Symbol-Tables, BSD-3-Clause" \
    --isf "$material/symbols/isf" "derived: types of 22000 with public offsets of 26100" \
    --headers "$headers/headers" "vergiliusproject.com by novafacing/vergilius-rs, Apache-2.0"
