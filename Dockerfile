# One image for web, worker, beat and migrate. What builds it stays behind in the first stage: the image that runs holds
# Python, the packages of requirements/base.txt (each checked by its hash) and the code, and runs as a user without rights.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /venv
COPY requirements/base.txt /requirements/
RUN pip --python /venv/bin/python install --require-hashes -r /requirements/base.txt
COPY . /app
WORKDIR /app
# No server stands at these addresses: collectstatic reads the settings and nothing else.
RUN env SECRET_KEY=only-for-collectstatic DATABASE_URL=postgres://none/none REDIS_URL=redis://none \
        /venv/bin/python manage.py collectstatic --no-input --verbosity 0 \
    && rm -rf requirements \
    && /venv/bin/python -m compileall -q -j 0 /venv/lib /app

# What `--profile monitoring` adds to it for Flower.
FROM build AS build-flower
COPY requirements/flower.txt /requirements/
RUN pip --python /venv/bin/python install --require-hashes -r /requirements/flower.txt

FROM python:3.12-slim AS runtime
LABEL org.opencontainers.image.title="cryptoetl" \
      org.opencontainers.image.description="Crypto market data of many sources, unified, kept and served" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 cryptoetl \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cryptoetl \
    && install -d -o cryptoetl -g cryptoetl -m 700 /var/lib/cryptoetl
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    VAR=/var/lib/cryptoetl HEARTBEAT_FILE=/tmp/heartbeat
WORKDIR /app

FROM runtime AS flower
COPY --from=build-flower /venv /venv
COPY --from=build-flower /app /app
USER 10001:10001
EXPOSE 5555
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-S", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:5555/healthcheck', timeout=4)"]
CMD ["celery", "-A", "cryptoetl", "flower", "--address=0.0.0.0", "--port=5555"]

# The last stage is what `docker build .` makes.
FROM runtime
COPY --from=build /venv /venv
COPY --from=build /app /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-S", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["gunicorn", "--config", "python:cryptoetl.serving", "--bind", "0.0.0.0:8000", "--worker-tmp-dir", "/dev/shm", \
     "cryptoetl.wsgi"]
