# One static binary and nothing else: no shell, no package manager, no libc.
#
#   docker build -t packhorse --build-arg REVISION=$(git rev-parse HEAD) .
#   docker run --rm --read-only packhorse --version

ARG RUST=1-alpine

# The target of this image is musl, so what it builds is linked statically. The C compiler that comes with it suffices
# for the C parts (aws-lc, zstd, mimalloc).
FROM rust:${RUST} AS build
RUN apk add --no-cache make musl-dev
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin packhorse \
    && cp target/release/packhorse /packhorse

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="packhorse" \
      org.opencontainers.image.description="A Kopia-compatible backup engine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /packhorse /packhorse
COPY LICENSE /LICENSE
# By number, so that a cluster can see that it is not root.
USER 65532:65532
ENTRYPOINT ["/packhorse"]
