# Parley with nothing beside it but what it imports. docker-compose.yml shows how it is run.

FROM python:3.11-slim AS packages
COPY requirements.lock .
# Wheels alone, so that nothing is compiled; without pip, which the server has no use for.
RUN python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python --disable-pip-version-check install \
        --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements.lock

FROM python:3.11-slim
RUN python -m pip --disable-pip-version-check uninstall --yes --root-user-action ignore \
        pip setuptools wheel \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin parley \
    && install --directory --owner parley --group parley --mode 0700 /var/lib/parley
COPY --from=packages /venv /venv
WORKDIR /srv/parley
COPY protocol/ protocol/
COPY storage/ storage/
COPY server/ server/
COPY LICENSE ./
# The file system may be read-only when it runs.
RUN /venv/bin/python -m compileall -q /venv /srv/parley

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PARLEY_ENV=production \
    PARLEY_HOST=0.0.0.0 \
    PARLEY_PORT=8000 \
    PARLEY_DATA_DIR=/var/lib/parley
USER parley
VOLUME /var/lib/parley
EXPOSE 8000
# SIGTERM begins the drain, which takes up to 43 s: whoever stops it has to wait for 45.
STOPSIGNAL SIGTERM
# Whether it serves, not whether it is ready: it would be restarted while Redis or PostgreSQL is
# away, and with it the answers end that it goes on with meanwhile. By an address, so by no proxy.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import os; from http.client import HTTPConnection as C; c = C('127.0.0.1', int(os.environ['PARLEY_PORT']), timeout=2); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "server"]
CMD ["serve"]
