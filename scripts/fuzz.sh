#!/bin/sh
# fuzz.sh TIME [NAME...]: runs every fuzz target, or those of these names, for TIME each,
# and prints how many inputs it tried. It fails if one of them finds a fault. Inputs
# are made smaller for a second each: Go's minute would leave no time for others.
set -eu

time=$1
shift
failed=
for dir in $("$GO" list -f '{{.Dir}}' ./...); do
	# Only files of this system and processor.
	files=$("$GO" list -f '{{join .TestGoFiles " "}} {{join .XTestGoFiles " "}}' "$dir")
	[ "$files" = " " ] || for name in $(cd "$dir" && sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $files); do
		case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
		package=${dir#"$PWD/"}
		if log=$("$GO" test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1s "$dir" 2>&1); then
			n=$(echo "$log" | sed -n 's/.*execs: \([0-9]*\).*/\1/p' | tail -n 1)
			echo "$package $name: ${n:-0} executions"
		else
			failed="$failed $package $name"
			echo "$log"
		fi
	done
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
