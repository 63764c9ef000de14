# The operator's image, around a program that is built already:
#
#   make ui    # the dashboard's pages; without them it says so
#   cargo build --release --bin slipway
#   install -D target/release/slipway dist/amd64/slipway
#   docker build -t slipway .
#
# The program is linked against glibc 2.36 or newer and needs nothing else. With dist/arm64/slipway beside it,
# `docker buildx build --platform linux/amd64,linux/arm64` makes one image for both, without emulation.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
FROM ${BASE}
ARG TARGETARCH=amd64
COPY --chmod=0755 dist/${TARGETARCH}/slipway /usr/local/bin/slipway
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/slipway"]
