#!/bin/sh
# The main job on real input: checksum and compress every .py file of Python's standard library.
set -eu
stdlib=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
home=$(mktemp -d "${TMPDIR:-/tmp}/prokerja-run-XXXXXX")
export PROKERJA_DB="$home/prokerja.sqlite3" PROKERJA_JOBS="$PWD/jobs"
files() { find "$stdlib" -name site-packages -prune -o -name '*.py' -print0; }

echo "Read-only input: $stdlib"
echo "Output:          $home"
files | prokerja declare:job checksum_file --each path -0 >"$home/checksum.ids"
files | prokerja declare:job compress_file --each path -0 into="$home/compressed" >"$home/compress.ids"
began=$(date +%s.%N)
prokerja realization:start --realizers 2 --until-empty
ended=$(date +%s.%N)
prokerja report
prokerja report --json | python -c '
import json, sys
done, seconds = json.load(sys.stdin)["completed"], float(sys.argv[2]) - float(sys.argv[1])
print(f"{done} jobs in {seconds:.1f} s: {done / seconds:.0f} a second, start and stop of the worker included")
' "$began" "$ended"
