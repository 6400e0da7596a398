"""Lets a bundle end when its work ends. Importing this module does it; Beam's workers do that for
every name in `beam_plugins`.

A worker notes which step is running, after 2 ms at first and ever more rarely, down to every
200 ms. The end of a bundle waits for the next of these notes: a tenth of the time of a bundle of
less than a second, 100 ms of a longer one (measured). Every 10 ms costs nothing measurable.
"""
import inspect

from apache_beam.runners.worker.statesampler import StateSampler

_EVERY_MS = 10

# Beam offers no option for it. A Beam without this argument is left as it is.
if list(inspect.signature(StateSampler.__init__).parameters)[3:] == ['sampling_period_ms']:
  StateSampler.__init__.__defaults__ = (_EVERY_MS,)
