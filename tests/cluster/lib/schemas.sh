# shellcheck shell=bash
# JSON schemas for kubeconform, from package registries alone: Kubernetes' own kinds from a Python package that ships the schemas of
# many versions, those of other projects' custom resources from the definitions in their Go modules.

SCHEMA_PACKAGE="kubernetes-validate==1.37.0 --hash=sha256:85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
SCHEMA_VERSIONS=(1.30 1.31 1.32 1.33 1.34 1.35 1.36 1.37) # the oldest the product supports, to the newest the package has
# MODULE@VERSION FOLDER: the Gateway API's version is that of the ingress controller's go.mod.
SCHEMA_MODULES=(
    "github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd"
    "sigs.k8s.io/gateway-api@$(gateway_version) config/crd/standard"
)

# schema_folder: its name carries the hash of all that its content depends on.
schema_folder() {
    local sum
    sum=$({ program_folder schemas; echo "$SCHEMA_PACKAGE" "${SCHEMA_VERSIONS[@]}" "${SCHEMA_MODULES[@]}"; } | sha256sum | cut -c1-12)
    echo "$STATE/schemas-$sum"
}

# make_schemas: prints nothing when they are there already.
make_schemas() {
    local folder lock part version source module path began=$SECONDS
    folder=$(schema_folder)
    [[ ! -d $folder ]] || return 0
    build_program schemas
    exec {lock}>"$STATE/schemas.lock"
    flock "$lock"
    if [[ ! -d $folder ]]; then
        packages python3=python3 pip3=python3-pip
        echo "fetching schemas of Kubernetes ${SCHEMA_VERSIONS[*]} (once)"
        part=$folder.part
        rm -rf "$part"
        mkdir -p "$part/package" "$part/crds"
        echo "$SCHEMA_PACKAGE" >"$part/requirements.txt"
        python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --require-hashes \
            --dest "$part/package" --requirement "$part/requirements.txt" || die "fetching ${SCHEMA_PACKAGE%% *} from the Python package registry failed"
        python3 -m zipfile -e "$part"/package/*.whl "$part/package"
        for version in "${SCHEMA_VERSIONS[@]}"; do
            source=$part/package/kubernetes_validate/kubernetes-json-schema/v$version.0-local-strict/_definitions.json
            mkdir "$part/$version"
            "$(program schemas)" kinds "$source" "$part/$version"
        done
        for source in "${SCHEMA_MODULES[@]}"; do
            read -r module path <<<"$source"
            "$(program schemas)" crds "$part/crds" "$(module_source "$module")/$path"/*_*.yaml
        done
        rm -r "$part/package" "$part/requirements.txt"
        mv "$part" "$folder"
        echo "schemas ready in $((SECONDS - began)) s"
    fi
    exec {lock}>&-
}
