# Images of the control plane, the operator and the runner, for any Docker builder (BuildKit, the classic one, buildah):
#   docker build --target minitowerd -t minitowerd .
#   docker build --target minitower-operator -t minitower-operator .
#   docker build --target minitower-runner -t minitower-runner .
# The programs are compiled here. PROGRAMS=built takes them from the build context instead, which then holds nothing else:
# scripts/images.sh builds that way where the programs are there already.
ARG PROGRAMS=compiled
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG SERVER_IMAGE=debian:bookworm-slim
# What jobs run on: any Debian-like image with Python 3 and its module venv.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# The workspace with every source file emptied: it changes with manifests and file names only, so that the layer with the
# compiled dependencies outlives an edit of the code.
FROM ${RUST_IMAGE} AS skeleton
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -name '*.rs' ! -path './.cargo/*' -delete \
    && find . -name '*.rs' -exec sh -c 'for file; do echo "fn main() { }" >"$file"; done' sh {} +

FROM ${RUST_IMAGE} AS compiled
WORKDIR /src
COPY --from=skeleton /src .
RUN cargo build --release --locked -p minitowerd -p minitower-operator -p minitower-runner
COPY . .
# Copied files keep their old times; without new ones cargo would take the emptied sources for these.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
    && cargo build --release --locked -p minitowerd -p minitower-operator -p minitower-runner \
    && install -D -t /programs target/release/minitowerd target/release/minitower-operator target/release/minitower-runner

FROM scratch AS built
COPY . /programs/

FROM ${PROGRAMS} AS programs

FROM ${SERVER_IMAGE} AS minitowerd
RUN groupadd --gid 10001 minitower \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/minitower minitower \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/minitower
COPY --from=programs /programs/minitowerd /usr/local/bin/
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /var/lib/minitower
ENV MINITOWER_LISTEN_ADDR=:8080 \
    MINITOWER_DB_PATH=/var/lib/minitower/minitower.db \
    MINITOWER_OBJECTS_DIR=/var/lib/minitower/objects
VOLUME /var/lib/minitower
EXPOSE 8080
ENTRYPOINT ["minitowerd"]
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="minitowerd" \
    org.opencontainers.image.description="MiniTower's control plane" \
    org.opencontainers.image.source="https://github.com/minitower/minitower" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

FROM ${SERVER_IMAGE} AS minitower-operator
COPY --from=programs /programs/minitower-operator /usr/local/bin/
USER 10001:10001
ENV MINITOWER_LISTEN_ADDR=:8081
EXPOSE 8081
ENTRYPOINT ["minitower-operator"]
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="minitower-operator" \
    org.opencontainers.image.description="Sizes pools of MiniTower runners by demand" \
    org.opencontainers.image.source="https://github.com/minitower/minitower" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

FROM ${PYTHON_IMAGE} AS minitower-runner
# Installs the dependencies of jobs several times quicker than pip. Another package index is named by PIP_INDEX_URL.
ARG UV_VERSION=0.13.9
ARG PIP_INDEX_URL=https://pypi.org/simple
RUN pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"
RUN groupadd --gid 10001 minitower \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/minitower minitower \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/minitower
COPY --from=programs /programs/minitower-runner /usr/local/bin/
USER 10001:10001
WORKDIR /var/lib/minitower
ENV MINITOWER_DATA_DIR=/var/lib/minitower
VOLUME /var/lib/minitower
ENTRYPOINT ["minitower-runner"]
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="minitower-runner" \
    org.opencontainers.image.description="Runs MiniTower's jobs: the runner, Python with venv, and uv" \
    org.opencontainers.image.source="https://github.com/minitower/minitower" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
