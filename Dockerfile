# One wampha node: a Python interpreter, what it loads, and the router in /opt/wampha. No shell, no pip, no package manager.
#
#   docker build -t wampha .
#   docker run --rm -p 8080:8080 wampha
#
# PYTHON: where everything is made ready; any Debian with Python 3.11 or newer. BASE: what the result is laid upon.
ARG PYTHON=python:3.11-slim-bookworm
ARG BASE=scratch

FROM ${PYTHON} AS build
WORKDIR /build

# What changes seldom comes first, so that a new commit changes one small layer.
COPY requirements.lock requirements-dev.lock ./
RUN python3 -m venv tools \
 && sed -n '/^setuptools==/,/# via/p' requirements-dev.lock > tools.lock \
 && tools/bin/pip install --quiet --require-hashes --no-deps -r tools.lock \
 && tools/bin/pip wheel --quiet --require-hashes --no-deps --no-build-isolation --wheel-dir wheels -r requirements.lock \
 && python3 -m venv --without-pip /opt/wampha \
 && tools/bin/pip --python /opt/wampha/bin/python3 install --quiet --no-index --no-deps --no-compile wheels/*.whl

COPY packaging/image/assemble.py ./
RUN python3 assemble.py /image/system

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY twisted twisted
COPY wampha wampha
RUN tools/bin/pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir dist . \
 && tools/bin/pip --python /opt/wampha/bin/python3 install --quiet --no-deps --no-index --no-compile dist/*.whl
COPY packaging/image/config.yaml /build/
RUN python3 assemble.py --router /image/router --configuration config.yaml

FROM ${BASE}
COPY --from=build /image/system/ /
COPY --from=build /image/router/ /

# The file system may be read-only, and the user any other.
ENV PATH=/opt/wampha/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8
USER 10001:10001
WORKDIR /
EXPOSE 8080 8071 9180
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/wampha/bin/python3", "-m", "wampha.observe.probe"]
ENTRYPOINT ["/opt/wampha/bin/twistd", "-n", "--pidfile=", "wampha"]
CMD ["-c", "/etc/wampha/config.yaml"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wampha" \
      org.opencontainers.image.description="A highly available WAMP router: several processes that behave as one" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
