# The sidecar and its Collector in one image: `make image`. What can be set is in docs/aws.md, "The image".
# Any image with Python 3.10 or later, pip, venv and ca-certificates will do; pip and venv are for the build alone.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm
ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm
# Where the Collector comes from: `manifest` builds collector-config/builder.yaml, `image` takes a program that is
# in another image, as COLLECTOR_PATH: that of the community, or one that was built before.
ARG COLLECTOR=manifest
ARG COLLECTOR_IMAGE=docker.io/otel/opentelemetry-collector-contrib:0.158.0

# It is compiled on the builder's own kind of machine, for the image's.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS collector-manifest
ARG GOPROXY
ARG GOSUMDB
ARG TARGETARCH
WORKDIR /collector
COPY collector-config/builder.yaml .
RUN --mount=type=secret,id=ca \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
    && export GOPATH=/go PATH="/go/bin:$PATH" \
    && version="$(sed -n '/^dist:/,/^[a-z]*:$/s/^ *version: *//p' builder.yaml)" \
    && go install "go.opentelemetry.io/collector/cmd/builder@v$version" \
    && GOOS=linux GOARCH="$TARGETARCH" builder --config builder.yaml \
    && mv out/otelcol-prefect /otelcol-prefect

FROM ${COLLECTOR_IMAGE} AS collector-other
FROM ${PYTHON_IMAGE} AS collector-image
ARG COLLECTOR_PATH=/otelcol-contrib
COPY --from=collector-other ${COLLECTOR_PATH} /otelcol-prefect

FROM collector-${COLLECTOR} AS collector

FROM ${PYTHON_IMAGE} AS application
WORKDIR /opt/otel-prefect
COPY image/requirements.txt image/requirements-sbom.txt image/
# All are wheels with the hashes of uv.lock. The second environment stays behind in this stage.
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && if [ -s /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi \
    && python3 -m venv --without-pip venv \
    && python3 -m venv --without-pip /sbom \
    && pip_install() { python3 -m pip --python "$1/bin/python" install --no-cache-dir --no-compile --no-deps \
         --only-binary :all: --require-hashes --disable-pip-version-check -r "$2"; } \
    && pip_install venv image/requirements.txt \
    && pip_install /sbom image/requirements-sbom.txt
COPY --from=collector --chmod=0755 /otelcol-prefect .
COPY LICENSE .
COPY collector-config collector-config
COPY otel_prefect otel_prefect
COPY sidecar sidecar
COPY image image
RUN /sbom/bin/python -B -m image.sbom venv/lib/python3*/site-packages otelcol-prefect > sbom.cdx.json \
    && PYTHONPYCACHEPREFIX=/opt/otel-prefect/bytecode venv/bin/python -m image.bytecode \
    && rm -r image \
    && chmod -R u=rwX,go=rX .

FROM ${PYTHON_IMAGE}
# The numbers are fixed: a volume's owner outlives the image. A volume that is new gets this folder's owner.
# Without authorities to trust, neither AWS nor Prefect's API could be spoken to.
RUN install -d -o 10001 -g 10001 /var/lib/otel-prefect \
    && { test -s /etc/ssl/certs/ca-certificates.crt || { echo "PYTHON_IMAGE has no ca-certificates" >&2; exit 1; }; }
COPY --from=application /opt/otel-prefect /opt/otel-prefect
ENV PATH=/opt/otel-prefect/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/otel-prefect \
    PYTHONPYCACHEPREFIX=/opt/otel-prefect/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/otel-prefect \
    OTELCOL_BIN=/opt/otel-prefect/otelcol-prefect \
    OTEL_PREFECT_COLLECTOR_CONFIG_DIR=/opt/otel-prefect/collector-config \
    OTEL_PREFECT_DATA_DIR=/var/lib/otel-prefect
WORKDIR /opt/otel-prefect
USER 10001:10001
VOLUME /var/lib/otel-prefect
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-m", "sidecar", "health"]
# No entry point, so that a task definition's `command` is a whole command.
ENTRYPOINT []
CMD ["python", "-m", "sidecar"]
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="otel-prefect" \
      org.opencontainers.image.description="Sidecar that makes one trace and one log stream of a Prefect flow run" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
