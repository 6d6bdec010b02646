# Worker, sensors and auditor in one image; the context is the root of the repository.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir build
WORKDIR /source
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY plugin plugin
COPY stream_worker stream_worker
COPY train train
RUN python -m build --wheel --outdir /wheels

FROM python:3.11-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel=$(echo /wheels/soundscene-*.whl) && pip install --no-cache-dir "$wheel[worker]"
# A worker is one process per core; idle compute threads only take time from its neighbours.
ENV PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
USER 65534:65534
EXPOSE 9464
STOPSIGNAL SIGTERM
CMD ["soundscene-worker", "--help"]
