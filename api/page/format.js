// Numbers and times for people. All times are UTC, as the windows are.

const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 1});
const day = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'UTC', weekday: 'short', day: 'numeric', month: 'short', year: 'numeric'});
const plainDay = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric'});
const DAY_MSEC = 86_400_000;

export const number = (value) => whole.format(value);
export const compact = (value) => short.format(value);

/** `31`, or `31–35` for a bracket that is open. */
export const bracket = (lower, upper) =>
  lower === upper ? number(lower) : `${number(lower)}–${number(upper)}`;

export const counted = (count, noun) => `${number(count)} ${noun}${count == 1 ? '' : 's'}`;

/** A share of 1: `12.3 %`, with as many places as it takes to tell it from 0. */
export function share(part) {
  const percent = 100 * part;
  if (percent > 0 && percent < 0.01) return '<0.01 %';
  return `${percent.toFixed(percent >= 9.95 ? 1 : 2)} %`;
}

/** A time span: `Mon, 1 Jul 2013`, `…, 14:00–15:00 UTC`, or both ends. */
export function span(from, to) {
  const [start, end] = [new Date(from), new Date(to)];
  const whole = start % DAY_MSEC === 0 && end % DAY_MSEC === 0;
  if (whole && end - start === DAY_MSEC) return `${day.format(start)} UTC`;
  if (whole) return `${plainDay.format(start)} to ${plainDay.format(end - DAY_MSEC)} UTC`;
  if (end - start <= DAY_MSEC && start.getUTCDate() === new Date(end - 1).getUTCDate()) {
    return `${day.format(start)}, ${clock(start)}–${clock(end)} UTC`;
  }
  return `${plainDay.format(start)}, ${clock(start)} to ${plainDay.format(end)}, ${clock(end)} UTC`;
}

const clock = (date) => date.toISOString().slice(11, 16);

/** A moment: `1 Jul 2013, 14:00`. */
export const time = (when) => `${plainDay.format(new Date(when))}, ${clock(new Date(when))}`;
export const moment = (when) => `${time(when)} UTC`;

/** How long ago: `just now`, `42 s ago`, `3 min ago`, `5 h ago`, or the day. */
export function ago(when, now = Date.now()) {
  const secs = Math.max(0, (now - new Date(when)) / 1000);
  if (secs < 5) return 'just now';
  if (secs < 90) return `${Math.round(secs)} s ago`;
  if (secs < 5400) return `${Math.round(secs / 60)} min ago`;
  if (secs < 86_400) return `${Math.round(secs / 3600)} h ago`;
  return plainDay.format(new Date(when));
}

/** A window size in words: `1h` is `1 hour`, `1h_every_1m` is `last 1 hour, every 1 minute`. */
export function windowName(label) {
  const [size, period] = label.split('_every_');
  return period ? `last ${length(size)}, every ${length(period)}` : length(size);
}

const LENGTHS = {s: 1000, m: 60_000, h: 3_600_000, d: DAY_MSEC, w: 7 * DAY_MSEC, mo: 30 * DAY_MSEC};

/** How long a window is; of a calendar size, a typical one. */
export function lengthMsec(label) {
  const [, count, unit] = /^(\d+)(mo|[smhdw])(_every_.*)?$/.exec(label) ?? [];
  return count * LENGTHS[unit];
}

const UNITS = {s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week', mo: 'month'};

function length(size) {
  const [, count, unit] = /^(\d+)(\w+)$/.exec(size) ?? [];
  return unit in UNITS ? counted(Number(count), UNITS[unit]) : size;
}

/** A moment as the service takes it, in whole seconds. */
export const iso = (when) => new Date(when).toISOString().replace(/\.\d+/, '');

/** The value of a datetime-local field as a moment of UTC, and back. */
export const fromField = (value) => (value ? `${value.slice(0, 16)}:00Z` : '');
export const toField = (when) => (Date.parse(when) ? iso(when).slice(0, 16) : '');

