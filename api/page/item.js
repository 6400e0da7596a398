// One item: its rank and bracket, whether it is listed or not, and its way over the windows.
import {read} from './api.js';
import {drawBar, makeBar} from './board.js';
import {icon, make, makeSvg} from './dom.js';
import * as format from './format.js';

const REFRESH_MSEC = 2000;
const POINTS = 24;
// Of the drawing, in its own units.
const WIDTH = 264;
const HEIGHT = 72;

export class Item {
  #name = '';
  #where = null;
  #reading = null;
  #waiting = 0;

  /**
   * @param {HTMLElement} panel where it is shown
   * @param {HTMLInputElement} search where it is asked for
   * @param {(item: string) => void} choose called for another item; with '' for none
   */
  constructor(panel, search, choose) {
    Object.assign(this, {panel, search, choose});
    search.form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (search.value) choose(search.value);
    });
    // The cross of a search field, and an item of the list that it offers.
    search.addEventListener('search', () => !search.value && choose(''));
  }

  /** Offers items for the search. */
  suggest(items) {
    this.search.list.replaceChildren(...items.map((item) => new Option(item, item)));
  }

  /**
   * Shows an item, or none.
   *
   * @param {string} name of the item; empty for none
   * @param {Object} where tenant and window or range, as the service takes them
   * @param {string} path of the board
   */
  show(name, where, path) {
    const same = name === this.#name && JSON.stringify(where) === JSON.stringify(this.#where);
    Object.assign(this, {path});
    this.#name = name;
    this.#where = where;
    this.panel.hidden = !name;
    if (name && !same) {
      if (this.search.value !== name) this.search.value = name;
      this.panel.replaceChildren(this.#head());
      this.#read();
    }
  }

  /** The board has changed: reads the item anew, but not all the time. */
  refresh() {
    if (this.#name) this.#waiting ||= setTimeout(() => this.#read(), REFRESH_MSEC);
  }

  async #read() {
    clearTimeout(this.#waiting);
    this.#waiting = 0;
    this.#reading?.abort();
    const mine = this.#reading = new AbortController();
    const {window, ...place} = this.#where;
    const ask = {...place, item: this.#name};
    const range = Boolean(place.from);
    try {
      const around = await read(`${this.path}/neighbours`,
                                {...ask, window: range ? '' : window, n: 2}, mine.signal);
      if (mine !== this.#reading) return;
      const parts = [this.#head(), ...standing(around), this.#around(around)];
      this.panel.replaceChildren(...parts);
      // More than the service tells at once, or no store for it: the standing stands alone.
      const trend = await read(`${this.path}/trend`,
                               {...ask, window, points: range ? '' : POINTS}, mine.signal)
        .catch(() => null);
      if (mine === this.#reading && trend) this.panel.append(...drawTrend(trend.points));
    } catch (problem) {
      if (mine !== this.#reading || problem.name === 'AbortError') return;
      this.panel.replaceChildren(this.#head(), make('p', {}, problem.detail || problem.title));
    }
  }

  #head() {
    const close = make('button', {type: 'button', className: 'quiet', title: 'Close'},
      icon('M7 7l10 10M17 7 7 17'), make('span', {className: 'unseen'}, 'Close'));
    close.addEventListener('click', () => {
      this.choose('');
      this.search.value = '';
      this.search.focus();
    });
    return make('header', {}, make('h2', {dir: 'auto'}, this.#name), close);
  }

  /** The rows next to it, each of which can be chosen. */
  #around({above, member, below}) {
    const list = make('ol', {className: 'around'});
    for (const one of [...above, member, ...below]) {
      if (!one.listed) continue;
      const button = make('button', {type: 'button', dir: 'auto', title: one.item,
                                     disabled: one.item === member.item}, one.item);
      button.addEventListener('click', () => this.choose(one.item));
      list.append(make('li', {}, make('span', {}, ranks(one.rank)), button,
                       make('span', {}, format.bracket(one.lower, one.upper))));
    }
    return list;
  }
}

/** `4`, or `4–7` where brackets overlap. */
const ranks = (rank) => (rank ? format.bracket(rank.best, rank.worst) : '–');

function standing({member, items}) {
  if (!member.rank) {
    return [make('p', {className: 'standing'}, make('b', {}, '0'),
                 make('span', {}, 'It was not counted in this time.'))];
  }
  const {best, worst} = member.rank;
  const bar = makeBar();
  drawBar(bar, member, member.upper);
  const all = items.lower === items.upper ? `of ${format.counted(items.upper, 'item')}`
    : `of ${format.number(items.lower)} items or more`;
  const pairs = [
    ['Count', format.bracket(member.lower, member.upper)],
    ['Share', member.lower === member.upper ? format.share(member.share.lower)
      : `${format.share(member.share.lower)} to ${format.share(member.share.upper)}`],
  ];
  return [
    make('p', {className: 'standing'}, make('b', {}, ranks(member.rank)),
         make('span', {}, `${best === worst ? 'rank' : 'possible ranks'}, ${all}`)),
    bar,
    ...(member.listed ? [] : [make('p', {className: 'hint'},
      'Not among the rows that are kept; this is what is proven of it.')]),
    make('dl', {}, ...pairs.flatMap(([term, value]) => [make('dt', {}, term), make('dd', {}, value)])),
  ];
}

/** Its count in every window: a column each, solid up to the lower bound. */
function drawTrend(points) {
  const stored = points.filter((point) => point.stored);
  const most = stored.reduce((top, point) => (point.upper > top ? point.upper : top), 0);
  if (stored.length < 2 || !most) return [];
  points = points.slice(points.findIndex((point) => point.stored));
  const step = WIDTH / points.length;
  const tall = (count) => (Number(count) / Number(most)) * HEIGHT;
  const column = (name, place, low, high) => makeSvg('rect', {
    class: name, x: place * step, width: Math.max(step - 2, 1), y: HEIGHT - high,
    height: high - low});
  const columns = points.flatMap((point, place) => (!point.stored ? [] : [
    column('possible', place, tall(point.lower), tall(point.upper)),
    column('certain', place, 0, Math.max(tall(point.lower), 1))]));
  const last = stored.at(-1);
  const chart = makeSvg('svg', {
    class: 'trend', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': `${format.counted(stored.length, 'window')}: at most ${format.number(most)}, `
      + `${format.bracket(last.lower, last.upper)} in the last one`}, ...columns);
  return [
    make('h3', {}, `Over ${format.counted(points.length, 'window')}, at most ${format.number(most)}`),
    chart,
    make('p', {className: 'trend-ends'}, make('span', {}, format.time(points[0].from)),
         make('span', {}, format.time(points.at(-1).to)))];
}
