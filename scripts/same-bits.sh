#!/bin/sh
# Runs the arm64 program under QEMU on the same pictures as the native one and
# compares the SHA-256 of the logits.
# Usage: scripts/same-bits.sh MODEL PICTURES QEMU CORE...
set -eu
model=$1 pictures=$2 qemu=$3
shift 3

hashes() { sed -n 's/.*"path":"\([^"]*\)".*"logits_sha256":"\([0-9a-f]*\)".*/\2  \1/p'; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bin/edge-classify -model "$model" -json "$pictures" >"$dir/json"
hashes <"$dir/json" >"$dir/native"
test -s "$dir/native"
echo "Native logits:"
cat "$dir/native"
for core; do
	"$qemu" -cpu "$core" bin/edge-classify-arm64 -model "$model" -json "$pictures" >"$dir/json"
	hashes <"$dir/json" >"$dir/arm64"
	if cmp -s "$dir/native" "$dir/arm64"; then
		echo "arm64 on $core: the same bits"
	else
		echo "arm64 on $core: other bits" >&2
		diff "$dir/native" "$dir/arm64" >&2
		exit 1
	fi
done
