// What is asked for: one plain object, in step with the form and with the page's address.
import {make} from './dom.js';
import {fromField, iso, lengthMsec, toField, windowName} from './format.js';

const NAMES = ['event_type', 'tenant', 'window', 'at', 'from', 'to', 'k', 'item'];
const ROWS = ['10', '25', '50', '100'];
const DAY_MSEC = 86_400_000;
const element = (id) => document.getElementById(id);

/** `newest`, `at` or `range`. */
export const modeOf = (asked) => (asked.from || asked.to ? 'range' : asked.at ? 'at' : 'newest');

export class Controls {
  /**
   * @param {Array} boards what there is: {tenant, event_type, windows: [{size, newest}]}, where
   *   `newest` is the start of a window
   * @param {(asked: Object) => void} ask called whenever something else is asked for
   */
  constructor(boards, ask) {
    this.ask = ask;
    this.asked = Object.fromEntries(
      NAMES.map((name) => [name, new URLSearchParams(location.search).get(name) ?? '']));
    this.offer(boards);
    element('event-type').addEventListener('change', ({target}) => this.set({event_type: target.value}));
    element('tenant').addEventListener('change', ({target}) => this.set({tenant: target.value}));
    element('k').addEventListener('change', ({target}) => this.set({k: target.value}));
    element('windows').addEventListener('change', ({target}) => this.set({window: target.value}));
    element('mode').addEventListener('change', ({target}) => this.#setMode(target.value));
    element('at').addEventListener('change', ({target}) => {
      if (target.value) this.set({at: fromField(target.value)});
    });
    for (const id of ['from', 'to']) element(id).addEventListener('change', () => this.#setRange());
    for (const button of document.querySelectorAll('[data-days]')) {
      button.addEventListener('click', () => this.#setDays(Number(button.dataset.days)));
    }
    element('controls').addEventListener('submit', (event) => event.preventDefault());
    addEventListener('popstate', () => {
      const query = new URLSearchParams(location.search);
      this.asked = Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? '']));
      this.#complete();
      this.ask(this.asked);
    });
  }

  /** Takes in what boards there are now; what is asked for stays, as far as there is any. */
  offer(boards) {
    this.boards = boards;
    this.#complete();
  }

  /** Start of the newest window of the size that is asked for. */
  get newest() {
    return this.#windows().find(({size}) => size === this.asked.window)?.newest;
  }

  /** Where the stored time ends: with the newest of the shortest windows. */
  get #end() {
    const ends = this.#windows().map(({size, newest}) => +new Date(newest) + lengthMsec(size))
      .filter((end) => end);
    return ends[0] ?? Date.now();
  }

  /** Asks for something else; `keep` leaves no step in the browser's history. */
  set(changes, keep = false) {
    this.asked = {...this.asked, ...changes};
    this.#complete();
    const query = new URLSearchParams(
      Object.entries(this.asked).filter(([name, value]) => value && !(name === 'k' && value === '10')));
    history[keep ? 'replaceState' : 'pushState'](null, '', `?${query}`);
    this.ask(this.asked);
  }

  #windows() {
    const {event_type: type, tenant} = this.asked;
    return this.boards.find((board) => board.event_type === type && board.tenant === tenant)
      ?.windows ?? [];
  }

  /** Fills what the address left open, and brings the form in step. */
  #complete() {
    const {asked, boards} = this;
    const types = [...new Set(boards.map((board) => board.event_type))];
    asked.event_type ||= types[0] ?? '';
    const tenants = boards.filter((board) => board.event_type === asked.event_type)
      .map((board) => board.tenant);
    if (!tenants.includes(asked.tenant) && tenants.length) [asked.tenant] = tenants;
    const sizes = this.#windows().map(({size}) => size);
    if (!sizes.includes(asked.window) && sizes.length) asked.window = sizes.at(-1);
    if (!ROWS.includes(asked.k)) asked.k = ROWS[0];

    options(element('event-type'), types, asked.event_type);
    options(element('tenant'), tenants, asked.tenant);
    element('k').value = asked.k;
    this.#segments(sizes);
    const mode = modeOf(asked);
    document.querySelector(`input[name=mode][value=${mode}]`).checked = true;
    element('when-at').hidden = mode !== 'at';
    element('when-range').hidden = mode !== 'range';
    element('windows').disabled = mode === 'range';
    for (const id of ['at', 'from', 'to']) element(id).value = toField(asked[id]);
  }

  #segments(sizes) {
    const box = element('windows').querySelector('div');
    const shown = [...box.querySelectorAll('input')].map((input) => input.value);
    if (shown.join() !== sizes.join()) {
      box.replaceChildren(...sizes.map((size) => make('label', {title: windowName(size)},
        make('input', {type: 'radio', name: 'window', value: size}), make('span', {}, brief(size)))));
    }
    for (const input of box.querySelectorAll('input')) input.checked = input.value === this.asked.window;
  }

  #setMode(mode) {
    if (mode === 'newest') this.set({at: '', from: '', to: ''});
    if (mode === 'at') {
      this.set({at: this.asked.from || this.newest || iso(Date.now()), from: '', to: ''});
    }
    if (mode === 'range') this.#setDays(1);
  }

  #setRange() {
    const [from, to] = ['from', 'to'].map((id) => fromField(element(id).value));
    const wrong = from && to && from >= to ? 'The end must come after the start.' : '';
    element('to').setCustomValidity(wrong);
    if (wrong) element('to').reportValidity();
    else if (from && to) this.set({from, to, at: ''});
  }

  #setDays(days) {
    element('to').setCustomValidity('');
    const end = this.#end;
    this.set({at: '', from: iso(end - days * DAY_MSEC), to: iso(end)});
  }
}

const brief = (size) => size.replace('_every_', ' / ');

function options(select, values, chosen) {
  const all = values.includes(chosen) || !chosen ? values : [...values, chosen];
  const shown = [...select.options].map((option) => option.value);
  if (shown.join('\n') !== all.join('\n')) {
    select.replaceChildren(...all.map((value) => new Option(value, value)));
  }
  select.value = chosen;
}
