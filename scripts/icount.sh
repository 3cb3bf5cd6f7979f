#!/bin/sh
# Counts instructions under QEMU, by class, on one thread: of one inference, between
# the call of Session.RunTimed and its return, of loading, between those of
# classify.Open, and of training, between those of teach.Train.
# Usage: scripts/icount.sh MODEL QEMU CORE...
set -eu
model=$1 qemu=$2 board=cortex-a76 frame=0 # the Pi 5's, on which training is counted
shift 2

for tool in "$qemu" "${CC:=gcc}"; do
	command -v "$tool" >/dev/null || { echo "$tool is not installed (Debian: apt-get install qemu-user gcc)" >&2; exit 1; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$CC" -O2 -Wall -shared -fPIC -o "$dir/icount.so" scripts/icount.c

# count CORE FUNCTION PROGRAM ARGUMENT... counts what the program executes within a function.
count() {
	core=$1 function=$2 program=$3
	shift 3
	# A line of nm is: address size type name.
	range=$(${GO:-go} tool nm -size "$program" | awk -v function_name="$function" '$4 == function_name {print $1, $2}')
	test -n "$range" || { echo "$program has no $function" >&2; exit 1; }
	from=$((0x${range% *})) to=$((0x${range% *} + ${range#* }))
	GOMAXPROCS=1 "$qemu" -cpu "$core" -plugin "$dir/icount.so,from=$from,to=$to,out=$dir/counts" "$program" "$@" >"$dir/out"
}

# tell WHAT UNIT [OTHER] prints the counts of one call, beside another number of
# instructions. That of this call is in $dir/total.
tell() {
	awk -v what="$1" -v unit="$2" -v other="${3:-0}" -v file="$dir/total" '
		$1 == "calls" { calls = $2; if (!calls) { print "icount: no " unit " was seen" >"/dev/stderr"; exit 1 }; next }
		{ total += $2; line = line sprintf(", %s %.1f", $1, $2 / calls / 1e6) }
		END {
			if (!calls) exit
			if (other) line = line sprintf("; as many as %.1f inferences", total / calls / other)
			printf "%s: %.1f M instructions per %s%s (mean of %d)\n", what, total / calls / 1e6, unit, line, calls
			print total / calls >file
		}
	' "$dir/counts"
}

for core; do
	count "$core" 'edgeclassify/runtime.(*Session).RunTimed' bin/edge-classify-arm64 bench -model "$model" -n 2 -threads 1 -json
	kernel=$(sed -n 's/.*"kernel": *"\([^"]*\)".*/\1/p' "$dir/out")
	tell "$core, kernel $kernel" inference
	test "$core" != "$board" || frame=$(cat "$dir/total")
	count "$core" edgeclassify/classify.Open bin/edge-classify-arm64 -model "$model" -threads 1 testdata/photos/cat.jpg
	tell "$core, loading" model
done

GOOS=linux GOARCH=arm64 CGO_ENABLED=0 "${GO:-go}" test -c -o "$dir/teach.test" ./teach
for cost in 2x20 10x50; do
	export COST=$cost
	count "$board" edgeclassify/teach.Train "$dir/teach.test" -test.run '^TestTrainingTakesLittleMemory$'
	tell "$board, labels x samples $cost" training "$frame"
done
