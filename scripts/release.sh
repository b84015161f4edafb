#!/usr/bin/env bash
# What a release is made with; docs/how-to/release.md tells the way from a commit to a release.
#   release.sh version                  the workspace's version
#   release.sh check [TAG]              whether all places name that version, and what makes a release is in order; with a tag,
#                                       whether it may become a release
#   release.sh notes                    the changelog's section of the version
#   release.sh assets PROGRAMS OUT      everything a release hands out but images, from PROGRAMS/OS_ARCH/PROGRAM, each verified
#   release.sh dry-run [OUT]            the same from the programs built on this machine (default: into a folder that goes away)
# Archives are the same bytes for the same programs. Checks whose tool is not there say so and are left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

chart=charts/minitower
krew=deploy/krew/minitower.yaml
tools=${MINITOWER_CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minitower-cluster}/bin/tools # of tests/cluster/tools
# What each archive holds beside LICENSE. No links: krew unpacks files and folders only.
client=(minitower)
server=(minitowerd minitower-operator minitower-runner)
platforms=(linux_amd64 linux_arm64)
wrong=()
scratch=''

say() { echo "release: $*"; }
die() {
    echo "release: $*" >&2
    exit 1
}
# complain WHAT: noted, so that one run tells all that is wrong.
complain() { wrong+=("$*"); }

# tool NAME: the program's path, from PATH or the cache; fails when it is in neither.
tool() { command -v "$1" || { [[ -x $tools/$1 ]] && echo "$tools/$1"; }; }

# of_workspace KEY: its value in Cargo.toml's [workspace.package].
of_workspace() { awk -F'"' -v key="$1 =" '/^\[/ { inside = $0 == "[workspace.package]" } inside && index($0, key) == 1 { print $2 }' Cargo.toml; }

notes() {
    awk -v heading="## [$version]" 'index($0, "## [") == 1 { inside = index($0, heading) == 1; next } inside' CHANGELOG.md |
        sed -e '/./,$!d'
}

# Each check_* complains; none stops, and none prints when all is well.

check_version() {
    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] ||
        complain "Cargo.toml: the workspace's version is '$version': it must be a semantic version such as 1.2.3"
}

check_changelog() { # check_changelog [TAG]
    if grep -q "^## \[$version\]" CHANGELOG.md; then
        [[ -n $(notes) ]] || complain "CHANGELOG.md: the section of $version is empty"
    elif [[ -n ${1:-} ]]; then
        complain "CHANGELOG.md has no section '## [$version]': rename '## [Unreleased]', with the date"
    elif ! grep -q '^## \[Unreleased\]' CHANGELOG.md; then
        complain "CHANGELOG.md has neither a section '## [$version]' nor '## [Unreleased]'"
    fi
}

check_tag() { # check_tag TAG
    [[ $1 == "v$version" ]] || complain "the tag is $1, the workspace's version $version: tag v$version, or change Cargo.toml first"
}

# named WHERE FILE PATTERN: complains about each match whose last word is another version.
named() {
    local where=$1 file=$2 pattern=$3 found
    while read -r found; do
        found=${found//[\"\']/}
        [[ -z $found || $found == "$version" ]] || complain "$file: $where is $found, the workspace's version $version"
    done < <(sed -nE "s/$pattern/\\1/p" "$file")
}

check_chart() {
    if [[ ! -f $chart/Chart.yaml ]]; then
        say "skipped: there is no $chart/Chart.yaml"
        return
    fi
    local key
    for key in version appVersion; do
        grep -q "^$key:" $chart/Chart.yaml || complain "$chart/Chart.yaml: $key is missing"
        named "$key" $chart/Chart.yaml "^$key:[[:space:]]*([^#[:space:]]+).*"
    done
    # Images by their tag: of Artifact Hub's list, and of the values where one is not empty for the chart's own version.
    named "the tag of an image" $chart/Chart.yaml ".*image:[[:space:]]*[^[:space:]]*minitower[^:[:space:]]*:([^[:space:]@]+).*"
    [[ ! -f $chart/values.yaml ]] || check_values
}

# Tags in the values belong to the `repository` beside them, or without one to all images; only those of our own follow our version.
check_values() {
    local image tag
    while read -r image tag; do
        [[ $tag == "$version" ]] || complain "$chart/values.yaml: the tag of $image is $tag, the workspace's version $version"
    done < <(awk '
        { match($0, /^ */); indent = RLENGTH }
        indent != last { repository = "" }
        { last = indent }
        $1 == "repository:" { repository = $2 }
        $1 == "tag:" { tag = $2; gsub(/["\047]/, "", tag); if ((repository == "" || repository ~ /minitower/) && tag != "" && tag !~ /^#/) print repository ? repository : "all-images", tag }
    ' $chart/values.yaml)
}

check_toolchain() {
    local file found
    for file in Dockerfile .github/workflows/*.yml; do
        while read -r found; do
            [[ $found == "$rust" ]] || complain "$file: Rust $found, Cargo.toml's rust-version is $rust"
        done < <(sed -nE -e 's/.*rust:([0-9][0-9.]*)-.*/\1/p' -e 's/^ *RUST_VERSION: "?([0-9.]+)"?.*/\1/p' "$file")
    done
}

# What actionlint does not ask for: actions by full commit and with their version beside it, least permissions, an end to each job.
check_workflows() {
    local file lint
    for file in .github/workflows/*.yml; do
        while read -r lint; do complain "$file:$lint"; done < <(awk '
            /^ *(- )?uses: / && !/uses: \.\// && !/uses: [^@ ]+@[0-9a-f]+ # v[0-9]/ { print NR ": this action has to be named by its commit, with its version as a comment" }
            /^ *(- )?uses: [^.][^@ ]*@/ { split($0, part, "@"); split(part[2], sha, " "); if (length(sha[1]) != 40) print NR ": a commit has 40 digits" }
            /^permissions:/ { permissions = 1 }
            /^concurrency:/ { concurrency = 1 }
            /^jobs:/ { jobs = 1; next }
            jobs && /^  [a-z][a-z0-9_-]*:/ { end_of_job(); job = $1; line = NR; timeout = 0 }
            # A job that is another workflow has the timeouts of that.
            job && (/^    timeout-minutes: / || /^    uses: \.\//) { timeout = 1 }
            function end_of_job() { if (job && !timeout) print line ": the job " job " needs timeout-minutes" }
            END { end_of_job(); if (!permissions) print "1: permissions are missing"; if (!concurrency) print "1: concurrency is missing" }
        ' "$file")
    done
    if lint=$(tool actionlint); then
        # Its own search for files ends at the root of a repository, which a copy of the sources has not.
        lint=$("$lint" -no-color -oneline .github/workflows/*.yml 2>&1) || complain "$lint"
    else
        say "skipped: actionlint is not installed (tests/cluster/tools actionlint)"
    fi
}

check_krew() {
    local text digest
    digest=$(sha256sum LICENSE | cut -d' ' -f1)
    text=$(render_krew linux_amd64="$digest" linux_arm64="$digest") || complain "$krew cannot be filled in"
    verify_krew "$text" "${platforms[@]}" || complain "$krew: see above"
}

# render_krew PLATFORM=SHA256...: the manifest for these platforms.
render_krew() {
    awk -v version="$version" -v platforms="$*" '
        function filled(text) {
            gsub(/@VERSION@/, version, text); gsub(/@OS@/, os, text); gsub(/@ARCH@/, arch, text); gsub(/@SHA256@/, digest, text)
            return text
        }
        /^# / && !body { next } # what the template says about itself
        { body = 1 }
        /^ *# for each platform$/ { inside = 1; next }
        /^ *# end$/ {
            inside = 0
            count = split(platforms, each, " ")
            for (n = 1; n <= count; n++) {
                split(each[n], pair, "="); split(pair[1], name, "_"); os = name[1]; arch = name[2]; digest = pair[2]
                printf "%s", filled(block)
            }
            next
        }
        inside { block = block $0 "\n"; next }
        { print filled($0) }
        END { if (inside || block == "") exit 1 }
    ' $krew
}

# verify_krew TEXT PLATFORM...: whether it names the version, and an archive with its digest for each platform.
verify_krew() {
    local text=$1 platform bad=0
    shift
    expect() { grep -qE -- "$2" <<<"$text" || { echo "release: $krew: $1" >&2; bad=1; }; }
    expect "spec.version must be v$version" "^  version: v$version\$"
    expect "metadata.name must be minitower, as the file" "^  name: minitower\$"
    for platform in "$@"; do
        expect "no archive for $platform" "^    uri: https://.*/v$version/minitower_${version}_$platform\.tar\.gz\$"
    done
    [[ $(grep -cE '^    sha256: [0-9a-f]{64}$' <<<"$text") == "$#" ]] || { echo "release: $krew: each platform needs a sha256" >&2; bad=1; }
    [[ $(grep -cE '^    bin: minitower$' <<<"$text") == "$#" ]] || { echo "release: $krew: each platform needs 'bin: minitower'" >&2; bad=1; }
    ! grep -n '@[A-Z0-9]*@' <<<"$text" >&2 || { echo "release: $krew: these words were not filled in" >&2; bad=1; }
    return $bad
}

check() {
    local tag=${1:-} problem
    check_version
    check_changelog "$tag"
    [[ -z $tag ]] || check_tag "$tag"
    check_chart
    check_toolchain
    check_workflows
    check_krew
    for problem in "${wrong[@]}"; do echo "release: $problem" >&2; done
    ((${#wrong[@]} == 0)) || die "not in order"
}

# archive FILE FOLDER NAME...: the same bytes for the same contents: sorted, of no owner, of the commit's time.
archive() {
    local file=$1 folder=$2
    shift 2
    tar --create --directory "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX --format=ustar \
        --mtime="@${SOURCE_DATE_EPOCH:?}" "$@" | gzip --no-name >"$file"
}

# pack OUT NAME PLATFORM FOLDER PROGRAM...: an archive of programs, unpacked again and compared.
pack() {
    local out=$1 name=$2 platform=$3 folder=$4 file staged program
    shift 4
    file=$out/${name}_${version}_$platform.tar.gz
    staged=$scratch/$name-$platform
    mkdir "$staged" "$staged.unpacked"
    for program in "$@"; do
        [[ -f $folder/$program ]] || die "$folder/$program is not there"
        install -m 0755 "$folder/$program" "$staged/$program"
    done
    install -m 0644 LICENSE "$staged/LICENSE"
    archive "$file" "$staged" "$@" LICENSE
    tar --extract --gzip --file "$file" --directory "$staged.unpacked"
    diff --recursive "$staged" "$staged.unpacked" || die "$file does not hold what was packed"
    for program in "$@"; do [[ -x $staged.unpacked/$program ]] || die "$file: $program cannot be executed"; done
    # The programs of this machine's kind say what they are.
    if [[ $platform == "$(own_platform)" ]]; then
        for program in "$@"; do
            [[ $("$staged.unpacked/$program" --version) =~ (^|[[:space:]])"$version"([[:space:]]|$) ]] ||
                die "$file: $program says '$("$staged.unpacked/$program" --version)', not $version"
        done
    fi
}

own_platform() {
    local arch
    arch=$(uname -m)
    case $arch in
        x86_64) arch=amd64 ;;
        aarch64) arch=arm64 ;;
    esac
    echo "$(uname -s | tr '[:upper:]' '[:lower:]')_$arch"
}

# pack_chart OUT: as helm packages it, with fixed times.
pack_chart() {
    local out=$1 helm file
    [[ -f $chart/Chart.yaml ]] || die "there is no $chart"
    helm=$(tool helm) || die "helm is not installed (tests/cluster/tools helm)"
    "$helm" package --destination "$scratch/chart" $chart >/dev/null
    file=minitower-$version.tgz
    mkdir "$scratch/chart/files"
    tar --extract --touch --gzip --file "$scratch/chart/$file" --directory "$scratch/chart/files"
    archive "$out/$file" "$scratch/chart/files" minitower
    [[ $("$helm" show chart "$out/$file" | sed -n 's/^version: //p') == "$version" ]] || die "$file is not of version $version"
    "$helm" template mt "$out/$file" >/dev/null || die "$file cannot be rendered"
}

# assets PROGRAMS OUT PLATFORM...: all of it, for these platforms.
assets() {
    local programs=$1 out=$2 platform digests=()
    shift 2
    mkdir -p "$out"
    [[ -z $(ls -A "$out") ]] || die "$out is not empty"
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
    for platform in "$@"; do
        pack "$out" minitower "$platform" "$programs/$platform" "${client[@]}"
        pack "$out" minitower-server "$platform" "$programs/$platform" "${server[@]}"
        digests+=("$platform=$(sha256sum "$out/minitower_${version}_$platform.tar.gz" | cut -d' ' -f1)")
    done
    if [[ -n ${dry:-} && ! -f $chart/Chart.yaml ]]; then
        say "skipped: there is no $chart/Chart.yaml to package"
    elif [[ -n ${dry:-} ]] && ! tool helm >/dev/null; then
        say "skipped: helm is not installed, the chart is not packaged (tests/cluster/tools helm)"
    else
        pack_chart "$out"
    fi
    render_krew "${digests[@]}" >"$out/minitower.yaml"
    (cd "$out" && sha256sum -- *) >"$scratch/checksums.txt"
    mv "$scratch/checksums.txt" "$out/checksums.txt"
    verify_assets "$out" "$@"
}

# verify_assets OUT PLATFORM...: what somebody who downloads it relies on.
verify_assets() {
    local out=$1 platform listed there
    shift
    (cd "$out" && sha256sum --check --quiet --strict checksums.txt) || die "checksums.txt is wrong"
    listed=$(cut -c67- "$out/checksums.txt")
    there=$(cd "$out" && printf '%s\n' ./* | sed -e 's|^\./||' -e '/^checksums\.txt$/d')
    [[ $listed == "$there" ]] || die "checksums.txt names other files than there are in $out"
    verify_krew "$(<"$out/minitower.yaml")" "$@" || die "the krew manifest is wrong"
    for platform in "$@"; do
        grep -q "^    sha256: $(sha256sum "$out/minitower_${version}_$platform.tar.gz" | cut -d' ' -f1)\$" "$out/minitower.yaml" ||
            die "the krew manifest has another sha256 for $platform than its archive"
    done
}

# dry_run [OUT]: the newest kind of build that is complete.
dry_run() {
    local out=${1:-$scratch/assets} target=${CARGO_TARGET_DIR:-target} folder program found=''
    dry=yes
    for folder in static release debug; do
        found=$target/$folder
        for program in "${client[@]}" "${server[@]}"; do
            [[ -x $target/$folder/$program ]] || found=''
        done
        [[ -z $found ]] || break
    done
    if [[ -z $found ]]; then
        say "skipped: the dry run needs programs, and none of $target/{static,release,debug} holds all (make build)"
        return
    fi
    mkdir "$scratch/programs"
    ln -s "$(realpath "$found")" "$scratch/programs/$(own_platform)"
    assets "$scratch/programs" "$out" "$(own_platform)"
    say "a dry run with the programs of $found:"
    (cd "$out" && stat --printf '  %10s  %n\n' -- *)
}

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

main() {
    local command=${1:-}
    shift || true
    version=$(of_workspace version)
    rust=$(of_workspace rust-version)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    case $command:$# in
        version:0) echo "$version" ;;
        check:[01]) check "$@" ;;
        notes:0)
            [[ -n $(notes) ]] || die "CHANGELOG.md has no section of $version, or an empty one"
            notes
            ;;
        assets:2) assets "$1" "$2" "${platforms[@]}" ;;
        dry-run:[01]) dry_run "$@" ;;
        *) usage ;;
    esac
}

main "$@"
