// One item: its rank and bracket, whether it is listed or not, and its way over the windows.
import {Problem, read} from './api.js';
import {drawBar, makeBar} from './board.js';
import {icon, make, makeSvg} from './dom.js';
import * as format from './format.js';

const REFRESH_MSEC = 2000;
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
    const query = {...this.#where, item: this.#name};
    try {
      const found = await read(`${this.path}/member`, query, mine.signal);
      if (mine !== this.#reading) return;
      const parts = [this.#head(), ...this.#standing(found)];
      this.panel.replaceChildren(...parts);
      const trend = await read(`${this.path}/trend`, query, mine.signal).catch((problem) => {
        if (problem instanceof Problem) return null;   // the standing is worth showing alone
        throw problem;
      });
      if (mine === this.#reading && trend) this.panel.append(...this.#trend(trend.windows));
    } catch (problem) {
      if (mine !== this.#reading || problem.name === 'AbortError') return;
      this.panel.replaceChildren(this.#head(), make('p', {}, `${problem.title}. ${problem.detail}`));
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

  #standing(found) {
    const bar = makeBar();
    drawBar(bar, found, found.upper);
    return [make('p', {className: 'standing'}, make('b', {}, String(found.rank))), bar];
  }

  #trend() {
    return [];
  }
}
