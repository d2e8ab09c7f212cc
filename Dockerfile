# The server on a CPU. The scorer is mounted: docs/how-to/serve.md shows how.
FROM python:3.11-slim-bookworm

# On Linux, torch from PyPI brings gigabytes of CUDA libraries. With the index of its CPU builds, which pytorch.org
# names, it does not: docker build --build-arg PIP_EXTRA_INDEX_URL=… -t beatwise .
ARG PIP_EXTRA_INDEX_URL

WORKDIR /opt/beatwise
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt . && useradd --create-home --uid 1000 beatwise

USER 1000
WORKDIR /home/beatwise
ENV DO_NOT_TRACK=1
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health')"]
# Inside a container, 127.0.0.1 cannot be reached from outside; `docker run --publish` says who can.
ENTRYPOINT ["beatwise", "serve", "--host=0.0.0.0", "--port=8000"]
CMD ["--model=/scorer"]
