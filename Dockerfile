# chatd and chatctl in /opt/chatd, for uid 10001, with a root that can be read-only.
# Behind a mirror: docker compose build --build-arg PIP_INDEX_URL=...

# To pin the base image to the one that you have looked at, give it with its digest, which `docker pull` prints:
# docker compose build --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY requirements-dev.txt ./
RUN python -m venv /build && python -m venv --without-pip /opt/chatd \
 && /build/bin/pip install --no-cache-dir -c requirements-dev.txt hatchling click msgspec
# The dependencies are a layer of their own, so that a change of the source does not install them again. No wheel is
# installed but those that were looked at when requirements-image.txt was made.
COPY requirements-image.txt ./
RUN /build/bin/pip --python /opt/chatd/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
    -r requirements-image.txt
COPY pyproject.toml README.md LICENSE ./
COPY packaging packaging
COPY chatd chatd
COPY chatctl chatctl
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /build/bin/pip --python /opt/chatd/bin/python install --no-cache-dir --no-deps /wheels/*.whl

FROM ${BASE}
# Bytecode for the standard library too: the root is read-only, and chatctl is started every few seconds.
RUN python -c 'import compileall, re, sysconfig; \
compileall.compile_dir(sysconfig.get_path("stdlib"), quiet=2, workers=0, rx=re.compile("/(site|dist)-packages/|/idlelib/|/test/"))' \
 && groupadd --gid 10001 chatd \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/chatd --shell /usr/sbin/nologin chatd \
 && install -d -o chatd -g chatd -m 0700 /var/lib/chatd /run/chatd
COPY --from=build /opt/chatd /opt/chatd
ENV PATH=/opt/chatd/bin:$PATH \
    CHATD_SOCKET=/run/chatd/default.sock \
    CHATD_STATE=/var/lib/chatd
USER 10001
VOLUME /var/lib/chatd
EXPOSE 7420
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --retries=3 CMD ["chatctl", "health"]
ENTRYPOINT ["chatd"]
