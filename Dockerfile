# Images of the control plane and of the runner:
#   docker build --target minitowerd -t minitowerd .
#   docker build --target minitower-runner -t minitower-runner .
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG SERVER_IMAGE=debian:bookworm-slim
# What jobs run on: any Debian-like image with Python 3.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${RUST_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p minitowerd -p minitower-runner \
    && mkdir /out \
    && cp target/release/minitowerd target/release/minitower-runner /out/

FROM ${SERVER_IMAGE} AS minitowerd
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/minitower minitower
COPY --from=build /out/minitowerd /usr/local/bin/minitowerd
USER minitower
WORKDIR /var/lib/minitower
ENV MINITOWER_LISTEN_ADDR=:8080 \
    MINITOWER_DB_PATH=/var/lib/minitower/minitower.db \
    MINITOWER_OBJECTS_DIR=/var/lib/minitower/objects
VOLUME /var/lib/minitower
EXPOSE 8080
ENTRYPOINT ["minitowerd"]

FROM ${PYTHON_IMAGE} AS minitower-runner
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/minitower minitower
COPY --from=build /out/minitower-runner /usr/local/bin/minitower-runner
USER minitower
WORKDIR /var/lib/minitower
ENV MINITOWER_DATA_DIR=/var/lib/minitower
VOLUME /var/lib/minitower
ENTRYPOINT ["minitower-runner"]
