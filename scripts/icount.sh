#!/bin/sh
# Counts the instructions of one inference on one thread, by class, under QEMU:
# those between the call of Session.RunTimed and its return.
# Usage: scripts/icount.sh MODEL QEMU CORE...
set -eu
model=$1 qemu=$2
shift 2

for tool in "$qemu" "${CC:=gcc}"; do
	command -v "$tool" >/dev/null || { echo "$tool is not installed (Debian: apt-get install qemu-user gcc)" >&2; exit 1; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$CC" -O2 -Wall -shared -fPIC -o "$dir/icount.so" scripts/icount.c

# A line of nm is: address size type name.
range=$(${GO:-go} tool nm -size bin/edge-classify-arm64 |
	awk '$4 == "edgeclassify/runtime.(*Session).RunTimed" {print $1, $2}')
test -n "$range" || { echo "bin/edge-classify-arm64 has no Session.RunTimed" >&2; exit 1; }
from=$((0x${range% *})) to=$((0x${range% *} + ${range#* }))

for core; do
	GOMAXPROCS=1 "$qemu" -cpu "$core" -plugin "$dir/icount.so,from=$from,to=$to,out=$dir/counts" \
		bin/edge-classify-arm64 bench -model "$model" -n 2 -threads 1 -json >"$dir/json"
	kernel=$(sed -n 's/.*"kernel": *"\([^"]*\)".*/\1/p' "$dir/json")
	awk -v core="$core" -v kernel="$kernel" '
		$1 == "calls" { calls = $2; if (!calls) { print "icount: no inference was seen" >"/dev/stderr"; exit 1 }; next }
		{ total += $2; line = line sprintf(", %s %.1f", $1, $2 / calls / 1e6) }
		END { if (calls) printf "%s, kernel %s: %.1f M instructions per inference%s (mean of %d)\n", core, kernel, total / calls / 1e6, line, calls }
	' "$dir/counts"
done
