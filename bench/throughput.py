"""Events a second of the whole job, beside its peers, on the same files and cores.

    python bench/throughput.py --events=1M,5M --rounds=5
    python bench/throughput.py --cases=flat-json --contestants=ours,duckdb --plot=speed.svg

Every run is a fresh process; rounds are interleaved, and a ratio compares runs of one round. Ours
is the whole Beam job on FnApiRunner: refused events kept, accounts written and read back, boards
with bounds in a Redis that runs beside it on the same cores; `ours+...` adds other stores. Every
answer is compared with the true counts; a wrong one fails the benchmark. Memory is the largest sum
over the processes of a contestant; pages of mapped files, which the system takes back when it needs
them, are told apart. Inputs are made once and kept in ~/.cache/topk-leaderboard (240 bytes an
event); TOPK_CACHE names another folder.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import contestants
import inputs
import truth

from leaderboard.io import embedded
from leaderboard.pipelines.stores import Stores

CASES = {
    'zipf-json': inputs.Events(0, 1.2), 'flat-json': inputs.Events(0, 0.8),
    'zipf-parquet': inputs.Events(0, 1.2, kind='parquet'),
    'flat-parquet': inputs.Events(0, 0.8, kind='parquet')}
OURS = {'ours': ('redis',), 'ours+nothing': (), 'ours+postgres': ('postgres',),
        'ours+archive': ('redis', 'parquet'), 'ours+all': ('redis', 'postgres', 'parquet')}
# An event at a time takes minutes: it is measured on the beginning of the input.
SAMPLE = 100_000
EVERY_SECS = 0.1   # each look takes a millisecond of a core


class Usage:
  """What a process and its children used while it ran: a context manager.

  Attributes:
    anonymous, mapped: the largest memory, bytes.
    cpu_secs: imports included.
  """

  def __init__(self, pid):
    self.anonymous = self.mapped = 0
    self.cpu_secs = 0.0
    self._pid = pid
    self._done = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  def __enter__(self):
    self._thread.start()
    return self

  def __exit__(self, *_):
    self._done.set()
    self._thread.join()

  def _watch(self):
    while not self._done.wait(EVERY_SECS):
      family = list(_family(self._pid))
      found = [_memory(pid) for pid in family]
      self.cpu_secs = max(self.cpu_secs, sum(map(_cpu_secs, family)))
      self.anonymous = max(self.anonymous, sum(anonymous for anonymous, _ in found))
      self.mapped = max(self.mapped, sum(mapped for _, mapped in found))


def _family(pid):
  yield pid
  for path in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
    with contextlib.suppress(OSError):
      for child in path.read_text().split():
        yield from _family(int(child))


def _memory(pid):
  """(anonymous, mapped) bytes of one process."""
  kib = dict.fromkeys(('RssAnon', 'RssFile', 'RssShmem'), 0)
  with contextlib.suppress(OSError), open(f'/proc/{pid}/status') as file:
    for line in file:
      name, _, value = line.partition(':')
      if name in kib:
        kib[name] = int(value.split()[0])
  return kib['RssAnon'] * 1024, (kib['RssFile'] + kib['RssShmem']) * 1024


def _cpu_secs(pid):
  with contextlib.suppress(OSError), open(f'/proc/{pid}/stat') as file:
    user, system = file.read().rpartition(')')[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')
  return 0.0


class Servers:
  """The stores of our runs, emptied before each."""

  def __init__(self, folder, names):
    self._stack = contextlib.ExitStack()
    self._folder = folder
    self.redis = self.postgres = None
    if 'redis' in names:
      self.redis = self._stack.enter_context(embedded.start_redis(folder)).url
    if 'postgres' in names:
      self.postgres = self._stack.enter_context(embedded.start_postgres(folder)).url

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._stack.close()

  def emptied(self, names):
    """Empty stores of these names."""
    import psycopg
    import redis
    root = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
    if 'redis' in names:
      with redis.Redis.from_url(self.redis) as client:
        client.flushall()
    if 'postgres' in names:
      with psycopg.connect(self.postgres, autocommit=True) as connection:
        connection.execute('drop schema public cascade; create schema public')
    return Stores(redis=self.redis if 'redis' in names else None,
                  postgres=self.postgres if 'postgres' in names else None,
                  parquet=str(root / 'parquet') if 'parquet' in names else None,
                  ledger=str(root), data_dir=root)


def run(name, path, answer, flags=()):
  """One run in a process of its own: its times, and the memory that it took.

  Raises:
    RuntimeError: it failed; with the end of what it wrote.
  """
  with tempfile.TemporaryFile('w+') as output, subprocess.Popen(
      [sys.executable, contestants.__file__, name, str(path),
       *([f'--answer={answer}'] if answer else ()), *flags],
      stdout=output, stderr=subprocess.STDOUT) as process, Usage(process.pid) as usage:
    process.wait()
    output.seek(0)
    lines = output.read().splitlines()
  if process.returncode:
    raise RuntimeError(f'{name} failed on {path}:\n' + '\n'.join(lines[-30:]))
  return {**json.loads(lines[-1]), 'anonymous': usage.anonymous, 'mapped': usage.mapped,
          'cpu_secs': usage.cpu_secs}


def warmed(path):
  """The path of a file that is in memory now: no contestant shall wait for the disk."""
  with open(path, 'rb') as file:
    while file.read(1 << 24):
      pass
  return path


def flags_of(stores):
  named = {'redis': stores.redis, 'postgres': stores.postgres, 'parquet': stores.parquet,
           'rejects': None if stores.parquet else stores.ledger}
  return [f'--{flag}={value}' for flag, value in named.items() if value]


def compare(case, events, names, rounds, servers, tell):
  """Runs the contestants round by round; name -> list of measurements."""
  found = {name: [] for name in names}
  whole = inputs.Events(**{**vars(CASES[case]), 'events': events})
  sample = inputs.Events(**{**vars(whole), 'events': min(events, SAMPLE)})
  for number in range(rounds):
    for name in names:
      wanted = sample if name == 'beam' else whole
      tell(f'{case} {events:,}: round {number + 1} of {rounds}, {name}')
      path, true = warmed(wanted.make()), truth.of(wanted)
      with tempfile.TemporaryDirectory() as folder:
        answer = pathlib.Path(folder) / 'answer.json'
        if name in OURS:
          stores = servers.emptied(OURS[name])
          measured = run('ours', path, answer, flags_of(stores))
          with stores.readers() as readers:
            for reader in readers.values():
              true.check_boards(name, reader)
        else:
          measured = run(name, path, answer)
          true.check_answer(name, json.loads(answer.read_text()))
      found[name].append({**measured, 'events': wanted.events})
  return found


def summarise(found):
  """The medians of a case: rows of the table, best first."""
  rows = []
  for name, runs in found.items():
    rates = [run['events'] / run['secs'] for run in runs]
    ratios = [rate / (base['events'] / base['secs'])
              for rate, base in zip(rates, found.get('duckdb', ()), strict=False)]
    rows.append({
        'contestant': name, 'events_per_sec': statistics.median(rates),
        'slowest': min(rates), 'fastest': max(rates),
        'ratio': statistics.median(ratios) if ratios else None,
        **{key: statistics.median(run[key] for run in runs)
           for key in ('secs', 'import_secs', 'cpu_secs')},
        **{key: max(run[key] for run in runs) for key in ('anonymous', 'mapped')}})
  return sorted(rows, key=lambda row: -row['events_per_sec'])


def as_table(rows):
  lines = ['| | events/s | spread | of DuckDB | run s | import s | CPU s | memory | mapped |',
           '|---|---|---|---|---|---|---|---|---|']
  for row in rows:
    slowest, fastest = (row[name] / row['events_per_sec'] - 1 for name in ('slowest', 'fastest'))
    ratio = f'{row["ratio"]:.2g}' if row['ratio'] else ''
    lines.append(
        f'| {row["contestant"]} | {row["events_per_sec"]:,.0f} | {slowest:+.0%} {fastest:+.0%} | '
        f'{ratio} | '
        f'{row["secs"]:.2f} | {row["import_secs"]:.2f} | {row["cpu_secs"]:.1f} | '
        f'{row["anonymous"] / 2**20:,.0f} MiB | {row["mapped"] / 2**20:,.0f} MiB |')
  return '\n'.join(lines)


def plot(results, path):
  """Bars of events a second, one panel a case."""
  import matplotlib
  matplotlib.use('Agg')
  from matplotlib import pyplot
  figure, panels = pyplot.subplots(len(results), 1, squeeze=False, layout='constrained',
                                   figsize=(7, 0.6 + sum(0.35 * len(r['rows']) + 0.6
                                                         for r in results)))
  for panel, result in zip(panels[:, 0], results, strict=True):
    rows = result['rows'][::-1]
    rates = [row['events_per_sec'] for row in rows]
    panel.barh([row['contestant'] for row in rows], rates,
               xerr=[[row['events_per_sec'] - row['slowest'] for row in rows],
                     [row['fastest'] - row['events_per_sec'] for row in rows]],
               color=['tab:orange' if row['contestant'] in OURS else 'tab:blue' for row in rows])
    panel.set_title(f'{result["case"]}, {result["events"]:,} events', fontsize=10)
    panel.set_xlabel('events a second')
  figure.savefig(path)


def sizes_of(text):
  """`1M,5M` as numbers; for argparse."""
  scale = {'k': 1000, 'M': 10**6}
  sizes = []
  for part in text.split(','):
    number = part.rstrip('kM')
    if not number.isdigit() or len(part) - len(number) > 1 or not int(number):
      raise argparse.ArgumentTypeError(f'must be numbers such as 500k or 1M,5M; got {part!r}')
    sizes.append(int(number) * scale.get(part[-1], 1))
  return sizes


def names_of(known):
  """Reads names separated by commas; for argparse."""
  def parse(text):
    names = text.split(',')
    if unknown := [name for name in names if name not in known]:
      raise argparse.ArgumentTypeError(f'knows {", ".join(known)}; got {", ".join(unknown)}')
    return names
  return parse


def main():
  peers = [name for name in contestants.CONTESTANTS if name != 'ours']
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--events', type=sizes_of, default=[10**6, 5 * 10**6], metavar='N,...',
                      help='sizes of the input, such as 500k or 1M,5M,20M (default 1M,5M)')
  parser.add_argument('--rounds', type=int, default=3, help='of every case (default 3)')
  parser.add_argument('--cases', type=names_of(CASES), default=['zipf-json'], metavar='NAME,...',
                      help=f'of {", ".join(CASES)} (default zipf-json)')
  parser.add_argument('--contestants', type=names_of([*OURS, *peers]), metavar='NAME,...',
                      help=f'of {", ".join([*OURS, *peers])} (default: ours and every peer)')
  parser.add_argument('--json', metavar='FILE', help='writes every measurement to this file')
  parser.add_argument('--plot', metavar='FILE', help='draws the rates: .png or .svg')
  args = parser.parse_args()
  wanted = args.contestants or ['ours', *peers]
  absent = {name: contestants.missing(name) for name in wanted if name not in OURS}
  names = [name for name in wanted if not absent.get(name)]
  if lacking := [f'{name} ({package})' for name, package in absent.items() if package]:
    print(f'left out, not installed: {", ".join(lacking)}; '
          f"pip install -c constraints.txt -e '.[bench,peers]'", file=sys.stderr)

  def tell(what):
    print(f'{time.strftime("%H:%M:%S")} {what}', file=sys.stderr, flush=True)

  results = []
  with tempfile.TemporaryDirectory() as folder, Servers(
      pathlib.Path(folder), {store for name in names for store in OURS.get(name, ())}) as servers:
    for events in args.events:
      for case in args.cases:
        within = [name for name in names if name != 'beam' or not case.endswith('parquet')]
        found = compare(case, events, within, args.rounds, servers, tell)
        results.append({'case': case, 'events': events, 'cores': os.cpu_count(),
                        'runs': found, 'rows': summarise(found)})
        print(f'\n{case}, {events:,} events, {args.rounds} rounds\n\n'
              f'{as_table(results[-1]["rows"])}', flush=True)
  if args.json:
    with open(args.json, 'w', encoding='utf-8') as file:
      json.dump(results, file, indent=1)
  if args.plot:
    plot(results, args.plot)


if __name__ == '__main__':
  main()
