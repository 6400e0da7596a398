# One image for the launcher of a Flex Template and the workers of any runner, and one with Flink:
#   docker build -t topk .                                  the template topk
#   docker build -t rollup --build-arg TEMPLATE=rollup .    another one; only the last layer differs
#   docker build -t topk-flink --target flink .             job and task managers whose workers run
#                                                           beside them: environment_type=PROCESS
# The Beam version here and in constraints.txt is the same, and the Flink version that of the tests;
# a test says so.
FROM apache/beam_python3.11_sdk:2.77.0 AS beam
FROM apache/beam_flink1.19_job_server:2.77.0 AS job-server
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:flex_templates_base_image_release_20240628_RC00 AS launcher
FROM flink:1.19.3-java17 AS flink-dist

# Has the compiler that the images lack; a wheel comes from here.
FROM python:3.11.13-bookworm AS build
WORKDIR /src
COPY setup.py pyproject.toml LICENSE ./
COPY transforms transforms
COPY io io
COPY pipelines pipelines
COPY templates templates
COPY api api
RUN pip wheel --no-cache-dir --no-deps --wheel-dir=wheels .


FROM python:3.11.13-slim-bookworm AS package
COPY --from=beam /opt/apache/beam /opt/apache/beam
WORKDIR /app

# Without its rooms the package is only its dependencies: a change of code does not install Beam
# again.
COPY setup.py pyproject.toml constraints.txt LICENSE ./
RUN pip install --no-cache-dir -c constraints.txt "apache-beam[gcp]==2.77.0" ".[api]"

# Launchers are started as files.
COPY templates templates
COPY --from=build /src/wheels wheels
RUN pip install --no-cache-dir --no-deps --force-reinstall wheels/*.whl && pip check && \
    python -c "import ctypes, importlib.util as i; ctypes.CDLL(i.find_spec('leaderboard.transforms._plainlines').origin)"

# Workers run what is installed here: no environment of their own is made when they start, which
# would take seconds and a folder that only root may write to.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
RUN useradd --uid 1000 --create-home topk
# Beam's boot program writes the job's options where it is started.
WORKDIR /home/topk
ENTRYPOINT ["/opt/apache/beam/boot"]


FROM package AS flink
COPY --from=flink-dist /opt/java/openjdk /opt/java/openjdk
COPY --from=flink-dist --chown=topk:topk /opt/flink /opt/flink
COPY --from=flink-dist /docker-entrypoint.sh /docker-entrypoint.sh
COPY --from=job-server /opt/apache/beam/jars/beam-runners-flink-job-server.jar /opt/apache/beam/jars/
# What the entrypoint of Flink's own image fills its configuration in with; its release is the base's.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gettext-base && rm -rf /var/lib/apt/lists/*
ENV FLINK_HOME=/opt/flink JAVA_HOME=/opt/java/openjdk PATH=/opt/flink/bin:/opt/java/openjdk/bin:$PATH
USER 1000
WORKDIR /opt/flink
EXPOSE 6123 8081
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["help"]


FROM package AS template
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
ARG TEMPLATE=topk
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/app/templates/${TEMPLATE}/launch.py
# The user stays root, because Dataflow's launcher writes under /var/log and its workers under
# /var/opt. Nothing else needs it: elsewhere this image runs with --user=topk.
