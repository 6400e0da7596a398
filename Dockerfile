# One image for the Flex Template launcher and the workers of any runner.
#   docker build -t topk-leaderboard .
# The Beam version here and in constraints.txt is the same; a test says so.
FROM apache/beam_python3.11_sdk:2.77.0 AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20260101-rc00 AS launcher

FROM python:3.11.13-slim-bookworm
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher

# Dependencies first: a change of code does not install Beam again.
COPY constraints.txt /app/
RUN pip install --no-cache-dir -c /app/constraints.txt "apache-beam[gcp]==2.77.0" duckdb fsspec mmh3 numpy "psycopg[binary]" pyarrow redis zstandard

COPY setup.py pyproject.toml LICENSE README.md /app/
COPY transforms /app/transforms
COPY io /app/io
COPY pipelines /app/pipelines
RUN pip install --no-cache-dir --no-deps -c /app/constraints.txt /app && pip check

RUN useradd --create-home beam
USER beam
WORKDIR /home/beam
ENTRYPOINT ["/opt/apache/beam/boot"]
