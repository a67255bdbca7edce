# Build: the versions that Cargo.lock lists. Both base images are pinned; raise them together, they share glibc.
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo ./.cargo
COPY src ./src
COPY config ./config
# Cargo wants every target that the manifest lists, built or not.
COPY benches ./benches
RUN cargo build --profile dist --locked --bin orderhook

# Run: the program, certificates, and a user who owns only the store.
FROM debian:12.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 orderhook \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/orderhook --create-home orderhook
COPY --from=build /src/target/dist/orderhook /usr/local/bin/orderhook
COPY LICENSE /usr/share/doc/orderhook/LICENSE
# As a number: Kubernetes checks `runAsNonRoot` by it.
USER 10001:10001
WORKDIR /var/lib/orderhook
VOLUME /var/lib/orderhook
# Inside a container the service is reached from outside it, so tokens must be configured: see README.
# ORDERHOOK_CONFIG is read by every command, so that the health check knows the configuration in force.
ENV ORDERHOOK_CONFIG=/etc/orderhook/orderhook.yaml \
    ORDERHOOK__SERVER__LISTEN=0.0.0.0:8080 \
    ORDERHOOK__STORE__URL=sqlite:///var/lib/orderhook/orderhook.db
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["orderhook", "healthcheck"]
ENTRYPOINT ["orderhook"]
CMD ["serve"]
# Last, so that another revision does not repeat the steps above.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="orderhook" \
      org.opencontainers.image.description="Order callouts and webhook delivery from one binary with an embedded store" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
