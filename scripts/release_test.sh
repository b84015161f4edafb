#!/usr/bin/env bash
# Proves the checks of scripts/release.sh: each has to pass on a copy of the sources, and to fail on one with the one mistake it is for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
passed=0

# What `release.sh` reads, with a chart of our own: the real one is checked by `release.sh check` itself.
original=$scratch/original
mkdir -p "$original/scripts" "$original/deploy" "$original/charts/minitower"
cp -r Cargo.toml CHANGELOG.md LICENSE Dockerfile .github "$original"
cp scripts/release.sh "$original/scripts"
cp -r deploy/krew "$original/deploy"
version=$(scripts/release.sh version)
cat >"$original/charts/minitower/Chart.yaml" <<YAML
apiVersion: v2
name: minitower
version: $version
appVersion: "$version"
annotations:
  artifacthub.io/images: |
    - name: minitowerd
      image: ghcr.io/minitower/minitowerd:$version
YAML
cat >"$original/charts/minitower/values.yaml" <<YAML
image:
  registry: ghcr.io
  tag: ""
controlPlane:
  image:
    repository: ghcr.io/minitower/minitowerd
    tag: "" # the chart's own version
litestream:
  image:
    repository: docker.io/litestream/litestream
    tag: 0.5.2
operator:
  image:
    repository: ghcr.io/minitower/minitower-operator
    tag: "$version"
YAML
# A section that can be released, whatever the changelog says today.
sed -i "0,/^## \[/s//## [$version] - 2026-01-01\n\n### Added\n- Something.\n\n&/" "$original/CHANGELOG.md"

note() { # note RESULT NAME OUTPUT
    if [[ $1 == ok ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'release_test: %s\n%s\n' "$2" "$3" >&2
    fi
}

# mutant EDIT...: a copy of the sources after `sed -i EDIT...` there; the edit has to change something.
mutant() {
    local before after
    rm -rf "$scratch/mutant"
    cp -r "$original" "$scratch/mutant"
    before=$(sha256sum <"$scratch/mutant/${*: -1}")
    (cd "$scratch/mutant" && sed -i "$@")
    after=$(sha256sum <"$scratch/mutant/${*: -1}")
    [[ $before != "$after" ]] || note bad "the mutation changes nothing: sed $*" ''
}

# refused WORDS COMMAND...: the mutant's release.sh ends with 1 and says WORDS.
refused() {
    local words=$1 output status=0
    shift
    output=$("$scratch/mutant/scripts/release.sh" "$@" 2>&1) || status=$?
    if ((status == 1)) && [[ $output == *"$words"* ]]; then
        note ok
    else
        note bad "'release.sh $*' had to end with 1 and to say: $words; it ended with $status and said:" "$output"
    fi
}

# accepted FOLDER COMMAND...
accepted() {
    local folder=$1 output
    shift
    if output=$("$folder/scripts/release.sh" "$@" 2>&1); then note ok; else note bad "'release.sh $*' was refused:" "$output"; fi
}

accepted "$original" check

# From here to its own mutation without the one tool that takes time.
cache=${MINITOWER_CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minitower-cluster}
export MINITOWER_CLUSTER_DIR=$scratch/no-tools

accepted "$original" check "v$version"
accepted "$original" notes

mutant 's/^version = .*/version = "99.0.0"/' Cargo.toml
refused "Chart.yaml: version is $version, the workspace's version 99.0.0" check
refused "Chart.yaml: appVersion is $version" check
refused "values.yaml: the tag of ghcr.io/minitower/minitower-operator is $version" check
refused "the tag is v$version, the workspace's version 99.0.0" check "v$version"
refused "no section '## [99.0.0]'" check v99.0.0
refused "no section of 99.0.0" notes
mutant 's/^version = .*/version = "1.0"/' Cargo.toml
refused "it must be a semantic version" check
mutant 's/^version: .*/version: 99.0.0/' charts/minitower/Chart.yaml
refused "Chart.yaml: version is 99.0.0" check
mutant '/^appVersion:/d' charts/minitower/Chart.yaml
refused "appVersion is missing" check
mutant 's/minitowerd:.*/minitowerd:99.0.0/' charts/minitower/Chart.yaml
refused "the tag of an image is 99.0.0" check
mutant 's/^    tag: ""/    tag: "99.0.0"/' charts/minitower/values.yaml
refused "the tag of ghcr.io/minitower/minitowerd is 99.0.0" check
mutant 's/^  tag: ""/  tag: 99.0.0/' charts/minitower/values.yaml
refused "the tag of all-images is 99.0.0" check
mutant 's/tag: 0.5.2/tag: 0.6.0/' charts/minitower/values.yaml
accepted "$scratch/mutant" check # Litestream has versions of its own
mutant '/^## \[/d' CHANGELOG.md
refused "CHANGELOG.md has neither" check
mutant "/^## \\[$version\\]/,/^## \\[/{/^## /!d}" CHANGELOG.md
refused "the section of $version is empty" check

mutant 's/rust:1\.[0-9]*-/rust:1.50-/' Dockerfile
refused "Dockerfile: Rust 1.50" check
mutant 's/RUST_VERSION: .*/RUST_VERSION: "1.50"/' .github/workflows/test.yml
refused "test.yml: Rust 1.50" check
mutant 's/rust:1\.[0-9]*-/rust:1.50-/' .github/workflows/release.yml
refused "release.yml: Rust 1.50" check
mutant 's/\(actions\/checkout\)@[0-9a-f]* # v/\1@v/' .github/workflows/check.yml
refused "has to be named by its commit" check
mutant 's/\(actions\/checkout@[0-9a-f]\{39\}\)[0-9a-f]/\1/' .github/workflows/check.yml
refused "a commit has 40 digits" check
mutant '/timeout-minutes/d' .github/workflows/e2e.yml
refused "the job kind: needs timeout-minutes" check
mutant '/^permissions:/,+1d' .github/workflows/test.yml
refused "permissions are missing" check
mutant '/^concurrency:/,+2d' .github/workflows/test.yml
refused "concurrency is missing" check
export MINITOWER_CLUSTER_DIR=$cache
if "$original/scripts/release.sh" check 2>&1 | grep 'skipped: actionlint' >/dev/null; then
    echo "release_test: skipped: actionlint is not installed"
else
    mutant 's/needs: verify/needs: verified/' .github/workflows/release.yml
    refused 'needs job "verified"' check
fi
export MINITOWER_CLUSTER_DIR=$scratch/no-tools

mutant 's/@SHA256@/@DIGEST@/' deploy/krew/minitower.yaml
refused "each platform needs a sha256" check
mutant 's/v@VERSION@\/minitower_/v1\/minitower_/' deploy/krew/minitower.yaml
refused "no archive for linux_arm64" check
mutant '/# end/d' deploy/krew/minitower.yaml
refused "cannot be filled in" check
mutant 's/name: minitower$/name: tower/' deploy/krew/minitower.yaml
refused "metadata.name" check

# Assets of programs that are no more than names: what is packed, and that it is packed the same way twice.
programs=$scratch/programs
for platform in linux_amd64 linux_arm64; do
    mkdir -p "$programs/$platform"
    for program in minitower minitowerd minitower-operator minitower-runner; do
        printf '#!/bin/sh\necho "%s %s"\n' $program "$version" >"$programs/$platform/$program"
        chmod +x "$programs/$platform/$program"
    done
done
export SOURCE_DATE_EPOCH=1700000000 MINITOWER_CLUSTER_DIR=$cache
assets() { "$1/scripts/release.sh" assets "$programs" "$2"; }
helm=$(command -v helm || echo "$cache/bin/tools/helm")
if [[ -x $helm ]]; then
    if output=$(assets "$original" "$scratch/one" 2>&1 && touch "$programs"/*/* && umask 077 && assets "$original" "$scratch/two" 2>&1) &&
        output=$(diff --recursive "$scratch/one" "$scratch/two") && [[ $(wc -l <"$scratch/one/checksums.txt") == 6 ]]; then
        note ok
    else
        note bad "the same programs have to make the same six assets" "$output"
    fi
    cp -r "$original" "$scratch/mutant.assets"
    rm -rf "$scratch/mutant" && mv "$scratch/mutant.assets" "$scratch/mutant"
    refused "is not empty" assets "$programs" "$scratch/one"
    rm "$programs/linux_arm64/minitower"
    refused "linux_arm64/minitower is not there" assets "$programs" "$scratch/three"
    rm -r "$scratch/three"
    cp "$programs/linux_amd64/minitower" "$programs/linux_arm64/"
    for platform in linux_amd64 linux_arm64; do printf '#!/bin/sh\necho minitowerd 99.0.0\n' >"$programs/$platform/minitowerd"; done
    refused "minitowerd says 'minitowerd 99.0.0'" assets "$programs" "$scratch/three"
else
    echo "release_test: skipped: helm is not installed, no assets are made"
fi

echo "release_test: $passed passed, $failed failed"
((failed == 0))
