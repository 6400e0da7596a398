# One image for the Flex Template launcher and the workers of any runner.
#   docker build -t topk-leaderboard .
# The Beam version here and in constraints.txt is the same; a test says so.
FROM apache/beam_python3.11_sdk:2.77.0 AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:flex_templates_base_image_release_20240628_RC00 AS launcher

FROM python:3.11.13-slim-bookworm
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
WORKDIR /app

# Without its rooms the package is only its dependencies: a change of code does not install Beam
# again.
COPY setup.py pyproject.toml constraints.txt LICENSE ./
RUN pip install --no-cache-dir -c constraints.txt "apache-beam[gcp]==2.77.0" .

COPY transforms transforms
COPY io io
COPY pipelines pipelines
COPY templates templates
RUN pip install --no-cache-dir --no-deps --force-reinstall . && pip check

# Of the other template: /app/templates/backfill/launch.py.
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/app/templates/topk/launch.py

# Root, because Dataflow's launcher writes under /var/log and its workers under /var/opt; nothing
# else needs it, so that other runners may choose a user.
ENTRYPOINT ["/opt/apache/beam/boot"]
