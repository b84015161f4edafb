# Images of the control plane, the operator, the runner and the command line, for any Docker builder (BuildKit, the classic one,
# buildah):
#   docker build --target minitowerd -t minitowerd .
#   docker build --target minitower-operator -t minitower-operator .
#   docker build --target minitower-runner -t minitower-runner .
#   docker build --target minitower -t minitower .
# The build compiles the programs. With PROGRAMS=built it takes them from the build context instead, which then contains nothing else;
# scripts/images.sh does so with programs that are already built.
ARG PROGRAMS=compiled
ARG RUST_IMAGE=rust:1.95-slim-bookworm
# The base of all programs except the runner. They are static and need nothing; dynamic ones need debian:bookworm-slim.
ARG SERVER_IMAGE=scratch
# The base for jobs: any Debian-like image with Python 3, its module venv, pip and ca-certificates.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# The workspace with every source file emptied. It changes only with manifests and file names, so the layer with the compiled
# dependencies outlives an edit of the code.
FROM ${RUST_IMAGE} AS skeleton
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -name '*.rs' ! -path './.cargo/*' ! -path './scripts/*' -delete \
    && find . -name '*.rs' -exec sh -c 'for file; do echo "fn main() { }" >"$file"; done' sh {} +

FROM ${RUST_IMAGE} AS compiled
WORKDIR /src
COPY --from=skeleton /src .
RUN scripts/static-programs.sh /programs
COPY . .
ARG REVISION=
# Copied files keep their old times. Without new ones, cargo would mistake the emptied sources for these.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
    && MINITOWER_COMMIT="${REVISION}" scripts/static-programs.sh /programs

FROM scratch AS built
COPY . /programs/

FROM ${PROGRAMS} AS programs

# What a scratch image needs beside the program: certificate authorities, and names for user ids.
FROM ${PYTHON_IMAGE} AS files
RUN install -d /rootfs/etc/ssl/certs /rootfs/var/lib \
    && install -m 0644 /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/ \
    && test "$(grep -c 'BEGIN CERTIFICATE' /rootfs/etc/ssl/certs/ca-certificates.crt)" -ge 50 \
    && echo 'root:x:0:0:root:/root:/sbin/nologin' >/rootfs/etc/passwd \
    && echo 'minitower:x:10001:10001::/var/lib/minitower:/sbin/nologin' >>/rootfs/etc/passwd \
    && printf 'root:x:0:\nminitower:x:10001:\n' >/rootfs/etc/group \
    && install -d -m 1777 /rootfs/tmp \
    && install -d -m 0750 /state/minitower

FROM ${SERVER_IMAGE} AS minitowerd
COPY --from=files /rootfs/ /
# A folder of its own, so that a volume mounted there belongs to the program.
COPY --from=files --chown=10001:10001 /state/ /var/lib/
COPY --from=programs /programs/minitowerd /usr/local/bin/
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/minitower
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    MINITOWER_LISTEN_ADDR=:8080 \
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
COPY --from=files /rootfs/ /
COPY --from=programs /programs/minitower-operator /usr/local/bin/
USER 10001:10001
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    MINITOWER_LISTEN_ADDR=:8081
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

# docker run --rm -v "$PWD:/project" minitower deploy
FROM ${SERVER_IMAGE} AS minitower
COPY --from=files /rootfs/ /
COPY --from=files --chown=10001:10001 /state/ /var/lib/
COPY --from=programs /programs/minitower /usr/local/bin/
USER 10001:10001
WORKDIR /project
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/minitower
ENTRYPOINT ["minitower"]
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="minitower" \
    org.opencontainers.image.description="MiniTower's command line" \
    org.opencontainers.image.source="https://github.com/minitower/minitower" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

# uv installs the dependencies of jobs several times quicker than pip. Another package index is named by PIP_INDEX_URL.
FROM ${PYTHON_IMAGE} AS uv
ARG UV_VERSION=0.13.9
ARG PIP_INDEX_URL=https://pypi.org/simple
RUN pip install --no-cache-dir --root-user-action=ignore --target /uv "uv==${UV_VERSION}"

FROM ${PYTHON_IMAGE} AS minitower-runner
RUN groupadd --gid 10001 minitower \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/minitower minitower \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/minitower
# Only the program: the rest of the package starts it from Python.
COPY --from=uv /uv/bin/uv /usr/local/bin/
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
