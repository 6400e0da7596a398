"""How the speed of the whole job depends on boards, distinct items, windows and size of input.

    python bench/scaling.py
    python bench/scaling.py --lines=boards,windows --rounds=1

Each line changes one thing and leaves the others: 1M events, 1.5M items of skew 1.2, 6 boards a
minute, one window size; the input is JSON and Redis takes the boards. Every run is a fresh
process, imports apart.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import inputs
import throughput

STEPS = {
    'input': [('events', n, inputs.Events(n), '1m') for n in (10**6, 5 * 10**6, 20 * 10**6)],
    'boards': [('boards', n, inputs.Events(10**6, boards=n, per_sec=10**6), '1m')
               for n in (1, 10, 100, 1_000, 10_000)],
    'distinct': [('distinct items', n, inputs.Events(10**6, 0.8, n), '1m')
                 for n in (10**3, 10**4, 10**5, 10**6, 10**7)],
    'windows': [('window sizes', len(sizes.split(',')), inputs.Events(10**6), sizes) for sizes in (
        '1m', '1m,5m', '1m,5m,15m', '1m,5m,15m,1h', '1m,5m,15m,1h,6h', '1m,5m,15m,1h,6h,1d')]}


def measure(steps, rounds, servers, tell):
  """Rows of one line: the step, and medians of its runs."""
  runs = [[] for _ in steps]
  for number in range(rounds):
    for (what, size, events, windows), found in zip(steps, runs, strict=True):
      tell(f'{what} {size:,}: round {number + 1} of {rounds}')
      path = throughput.warmed(events.make())
      stores = servers.emptied(('redis',))
      found.append(throughput.run('ours', path, None, [
          *throughput.flags_of(stores), f'--windows={windows}']))
  return [{'step': size, 'events': events.events,
           **{name: statistics.median(run[name] for run in found) for name in ('secs', 'cpu_secs')},
           'anonymous': max(run['anonymous'] for run in found)}
          for (_, size, events, _), found in zip(steps, runs, strict=True)]


def as_table(what, rows):
  first = rows[0]['secs'] / rows[0]['events']
  lines = [f'| {what} | events/s | run s | CPU s | seconds an event, beside the first | memory |',
           '|---|---|---|---|---|---|']
  lines += [f'| {row["step"]:,} | {row["events"] / row["secs"]:,.0f} | {row["secs"]:.2f} | '
            f'{row["cpu_secs"]:.1f} | {row["secs"] / row["events"] / first:.2f} | '
            f'{row["anonymous"] / 2**20:,.0f} MiB |' for row in rows]
  return '\n'.join(lines)


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--lines', type=throughput.names_of(STEPS), default=list(STEPS),
                      metavar='NAME,...', help=f'of {", ".join(STEPS)} (default: all)')
  parser.add_argument('--rounds', type=int, default=3, help='of every step (default 3)')
  parser.add_argument('--most', type=int, default=20 * 10**6, metavar='N',
                      help='leaves out inputs of more events (default 20000000)')
  args = parser.parse_args()

  def tell(what):
    print(f'{time.strftime("%H:%M:%S")} {what}', file=sys.stderr, flush=True)

  with tempfile.TemporaryDirectory() as folder, throughput.Servers(
      pathlib.Path(folder), ('redis',)) as servers:
    for line in args.lines:
      steps = [step for step in STEPS[line] if step[2].events <= args.most]
      print(f'\n{as_table(steps[0][0], measure(steps, args.rounds, servers, tell))}', flush=True)


if __name__ == '__main__':
  main()
