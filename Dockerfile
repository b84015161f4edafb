# Images of the control plane and of the runner, for any Docker builder (BuildKit or the classic one):
#   docker build --target minitowerd -t minitowerd .
#   docker build --target minitower-runner -t minitower-runner .
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

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY --from=skeleton /src .
RUN cargo build --release --locked -p minitowerd -p minitower-runner
COPY . .
# Copied files keep their old times; without new ones cargo would take the emptied sources for these.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
    && cargo build --release --locked -p minitowerd -p minitower-runner

FROM ${SERVER_IMAGE} AS minitowerd
RUN groupadd --system --gid 10001 minitower \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/minitower minitower \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/minitower
COPY --from=build /src/target/release/minitowerd /usr/local/bin/
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /var/lib/minitower
ENV MINITOWER_LISTEN_ADDR=:8080 \
    MINITOWER_DB_PATH=/var/lib/minitower/minitower.db \
    MINITOWER_OBJECTS_DIR=/var/lib/minitower/objects
VOLUME /var/lib/minitower
EXPOSE 8080
ENTRYPOINT ["minitowerd"]

FROM ${PYTHON_IMAGE} AS minitower-runner
RUN groupadd --system --gid 10001 minitower \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/minitower minitower \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/minitower
COPY --from=build /src/target/release/minitower-runner /usr/local/bin/
USER 10001:10001
WORKDIR /var/lib/minitower
ENV MINITOWER_DATA_DIR=/var/lib/minitower
VOLUME /var/lib/minitower
ENTRYPOINT ["minitower-runner"]
