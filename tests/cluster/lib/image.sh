# shellcheck shell=bash
# Writes image archives without an image tool: the layout is that of `docker save`, which containerd, Docker and buildah all read.

# image_archive OUT.tar REFERENCE LAYER.tar CONFIG: CONFIG is the JSON object of the image's run-time settings.
image_archive() {
    local out=$1 reference=$2 layer=$3 config=$4 dir digest arch
    dir=$(mktemp -d)
    digest=$(sha256sum "$layer" | cut -d' ' -f1)
    arch=$(dpkg --print-architecture)
    ln "$layer" "$dir/layer.tar" 2>/dev/null || cp "$layer" "$dir/layer.tar"
    printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"%s"}]}' \
        "$arch" "$config" "$digest" "$TAG" >"$dir/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$reference" >"$dir/manifest.json"
    tar -C "$dir" -cf "$out.tmp" manifest.json config.json layer.tar
    mv "$out.tmp" "$out"
    rm -r "$dir"
}

PAUSE_IMAGE=docker.io/minitower-cluster/pause:1

# The pod sandbox's image.
make_pause_image() {
    local layer
    [[ $IMAGES/pause.tar -nt $(program pause) ]] && return
    mkdir -p "$IMAGES"
    layer=$(mktemp)
    tar -C "$(program_folder pause)" --owner=0 --group=0 --mtime=@0 -cf "$layer" pause
    image_archive "$IMAGES/pause.tar" "$PAUSE_IMAGE" "$layer" '{"Entrypoint":["/pause"],"User":"65535:65535"}'
    rm "$layer"
}
