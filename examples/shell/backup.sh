#!/bin/sh
# Packs a folder and checks the result, as a nightly backup would.
set -eu

# One variable per parameter; the defaults are for trying this by hand.
word=${word:-tower}
lines=${lines:-1000}

mkdir -p data
i=1
while [ "$i" -le "$lines" ]; do
    echo "$i $word"
    i=$((i + 1))
done > data/sample.txt
echo "made data/sample.txt: $(wc -l < data/sample.txt) lines, $(wc -c < data/sample.txt) bytes"

tar -czf backup.tar.gz data
echo "packed it into $(wc -c < backup.tar.gz) bytes"

packed=$(tar -xzOf backup.tar.gz data/sample.txt | cksum)
[ "$packed" = "$(cksum < data/sample.txt)" ] || { echo "the backup differs from the data" >&2; exit 1; }
echo "checked: the backup holds what was packed"
