# syntax=docker/dockerfile:1
#
# docker build -t cloakroom .
# docker run --rm -p 8080:8080 -v ./cloakroom.yaml:/etc/cloakroom/cloakroom.yaml:ro cloakroom
# docker run --rm -i cloakroom hash-password
#
# Two stages: the first has the compiler, the second nothing but the program and the C library.

# The same Debian release (bookworm = 12) in both stages: what is linked here must exist there.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src

# aws-lc (TLS) is C and assembler; its build needs gcc and the C headers, which the rust image has.
# On amd64 and arm64 it needs neither cmake nor Go nor bindgen.
COPY Cargo.toml Cargo.lock ./
COPY .cargo ./.cargo
COPY src ./src
COPY tests ./tests

# The cache mounts live outside the image: a second build compiles only what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin cloakroom \
    && cp target/release/cloakroom /usr/local/bin/cloakroom
# Line tables go, function names stay: a backtrace remains readable.
# The data directory is made here because the last stage has no shell to make it with.
RUN strip --strip-debug /usr/local/bin/cloakroom \
    && mkdir -p /var/lib/cloakroom

# No shell, no package manager: the C library, libgcc, CA certificates, and the user nonroot (65532).
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /usr/local/bin/cloakroom /usr/local/bin/cloakroom
COPY --from=build --chown=65532:65532 /var/lib/cloakroom /var/lib/cloakroom

# By number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 65532:65532
# A relative data_dir (the default) lands in the volume.
WORKDIR /var/lib/cloakroom
VOLUME /var/lib/cloakroom
ENV CLOAKROOM_CONFIG=/etc/cloakroom/cloakroom.yaml
EXPOSE 8080
# SIGTERM: take no new requests, finish the open ones (limits.drain_timeout).
STOPSIGNAL SIGTERM
# Asks /readyz on admin.address, inside the container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/cloakroom", "healthcheck"]
# The command can be replaced: `docker run … cloakroom validate`.
ENTRYPOINT ["/usr/local/bin/cloakroom"]
CMD ["run"]
