# The service as an image: one binary, no shell, not root. docs/DEPLOYMENT.md tells how to run it.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# The names of functions stay for backtraces; line tables would be four fifths of the image.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN cargo build --release --locked --package gatewayz-api

# The same Debian as above, so the same C library.
FROM gcr.io/distroless/cc-debian12:nonroot
WORKDIR /app
COPY --from=build /src/target/release/gatewayz-api /usr/local/bin/gatewayz-api
COPY deploy/catalog/ deploy/catalog/
COPY deploy/env/local.env deploy/env/staging.env deploy/env/production.env deploy/env/
# An image that is told nothing keeps its doors shut: no published key, no open models.
ENV ENVIRONMENT=production
USER 65532:65532
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s --retries=3 CMD ["/usr/local/bin/gatewayz-api", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/gatewayz-api"]
