# Errand in a small image: without root, and with a root file system that may be read-only.
#
#   docker build --tag errand .
#   docker run --rm --read-only --tmpfs /tmp --volume errand:/var/lib/errand \
#     --publish 127.0.0.1:8000:8000 --env ERRAND_LOCAL_TOKENS=on errand
#
# OPERATIONS.md says which settings a server needs that more than a trial depends on.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# What is installed is named by hash; it is built again only if the locks change.
COPY requirements.lock .deploy/build.lock ./
RUN python3 -m venv /opt/errand \
    && python3 -m venv /opt/build \
    && /opt/errand/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY openapi openapi
COPY handlers handlers
COPY db db
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/build . \
    && /opt/errand/bin/pip install --no-cache-dir --no-deps /opt/build/errand-*.whl \
    && /opt/errand/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
RUN useradd --no-log-init --uid 10001 --home-dir /var/lib/errand --create-home errand
COPY --from=build /opt/errand /opt/errand
ENV PATH=/opt/errand/bin:$PATH \
    ERRAND_HOST=0.0.0.0 \
    ERRAND_DATA_DIR=/var/lib/errand/data
USER 10001
WORKDIR /var/lib/errand
VOLUME /var/lib/errand
EXPOSE 8000
# That the process serves; /health/ready would say that the database does.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('ERRAND_PORT', 8000)}/health/live\", timeout=2)"]
ENTRYPOINT ["errand"]
CMD ["serve"]
