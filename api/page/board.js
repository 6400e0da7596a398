// The table: draws rows and their brackets, and moves what moved.
import {icon, make, unseen} from './dom.js';
import {number, share} from './format.js';

const MOVE_MSEC = 520;
const FLASH_MSEC = 1400;
const calm = matchMedia('(prefers-reduced-motion: reduce)');

/** A bracket as a bar; `widest` is what the whole width stands for. */
export function drawBar(bar, {lower, upper}, widest, rest = 0) {
  const part = (value) => (widest > 0 ? Number(value) / Number(widest) : 0);
  bar.style.setProperty('--low', part(lower));
  bar.style.setProperty('--high', part(upper));
  bar.style.setProperty('--rest', part(rest));
  bar.classList.toggle('spread', lower !== upper);
  bar.classList.toggle('ruled', rest > 0);
}

export function makeBar() {
  const bar = make('span', {className: 'bar'});
  bar.setAttribute('aria-hidden', 'true');
  for (const name of ['solid', 'open', 'rest']) bar.append(make('i', {className: name}));
  return bar;
}

export class Board {
  #rows = new Map();
  #chosen = null;

  /**
   * @param {HTMLTableElement} table
   * @param {(item: string) => void} choose called when the user picks an item
   */
  constructor(table, choose) {
    this.body = table.tBodies[0];
    this.choose = choose;
    // Of a narrow screen the style makes grids of the rows, which takes away their own roles.
    table.setAttribute('role', 'table');
    for (const part of [table.tHead, this.body]) part.setAttribute('role', 'rowgroup');
    table.tHead.rows[0].setAttribute('role', 'row');
    for (const cell of table.tHead.rows[0].cells) cell.setAttribute('role', 'columnheader');
  }

  /** Rows in the place of rows that are still to come. */
  wait(count) {
    this.#rows.clear();
    this.body.replaceChildren(...Array.from({length: count}, () => {
      const row = make('tr', {className: 'ghost', role: 'row'});
      row.setAttribute('aria-hidden', 'true');
      for (const name of ['rank', 'item', 'bracket', 'count', 'share', 'proof']) {
        row.append(make('td', {className: name, role: 'cell'}));
      }
      return row;
    }));
  }

  mark(item) {
    this.#rows.get(this.#chosen)?.row.classList.remove('chosen');
    this.#chosen = item;
    this.#rows.get(item)?.row.classList.add('chosen');
  }

  /**
   * Shows an answer.
   *
   * @param {Object} answer rows with their bounds, and `rest_upper`
   * @param {boolean} moving the same board as before, newer: what changed moves and lights up
   * @returns {Object} what changed, for those who do not see it: `rose`, `fell`, `entered`, lists
   *   of {item, rank}, and `counted`, how many rows have another count
   */
  show(answer, moving) {
    const {rows, rest_upper: rest} = answer;
    const changes = {rose: [], fell: [], entered: [], counted: 0};
    const animate = moving && !calm.matches;
    const before = new Map();
    if (animate) {
      for (const [item, {row}] of this.#rows) before.set(item, row.getBoundingClientRect().top);
    }
    const focused = document.activeElement;
    const widest = rows.reduce((most, row) => (row.upper > most ? row.upper : most), rest);
    const next = new Map();
    for (const row of rows) {
      const old = this.#rows.get(row.item);
      const view = old ?? this.#make(row.item);
      if (old && row.rank < old.rank) changes.rose.push(row);
      if (old && row.rank > old.rank) changes.fell.push(row);
      if (!old) changes.entered.push(row);
      if (old && old.count !== row.count) changes.counted += 1;
      view.changed = Boolean(old) && (old.count !== row.count || old.upper !== row.upper);
      this.#fill(view, row, widest, rest, answer.total);
      next.set(row.item, view);
    }
    const wanted = [...next.values()].map((view) => view.row);
    if (wanted.length !== this.body.rows.length
        || wanted.some((row, place) => this.body.rows[place] !== row)) {
      this.body.replaceChildren(...wanted);
      // Taken out and put back, it lost the focus.
      if (focused !== document.activeElement && this.body.contains(focused)) {
        focused.focus({preventScroll: true});
      }
    }
    this.#rows = next;
    if (animate) this.#animate(before);
    return changes;
  }

  #make(item) {
    const row = make('tr', {role: 'row'});
    row.classList.toggle('chosen', item === this.#chosen);
    const cells = {};
    for (const name of ['rank', 'item', 'bracket', 'count', 'share', 'proof']) {
      cells[name] = make('td', {className: name, role: name === 'item' ? 'rowheader' : 'cell'});
      row.append(cells[name]);
    }
    const button = make('button', {type: 'button', title: item, dir: 'auto'}, item);
    button.addEventListener('click', () => this.choose(item));
    cells.item.append(button);
    const bar = makeBar();
    const words = unseen('');
    cells.bracket.append(bar, words);
    return {row, cells, bar, words, button};
  }

  #fill(view, row, widest, rest, total) {
    const {cells} = view;
    const open = row.lower !== row.upper;
    Object.assign(view, {rank: row.rank, count: row.count, upper: row.upper});
    cells.rank.replaceChildren(make('span', {className: 'place'}, number(row.rank)), movement(row));
    drawBar(view.bar, row, widest, rest);
    view.words.textContent = open ? `between ${number(row.lower)} and ${number(row.upper)}` : 'exact';
    cells.count.replaceChildren(number(row.count),
      ...(open ? [make('small', {}, `up to ${number(row.upper)}`)] : []));
    cells.share.textContent = total > 0 ? share(Number(row.count) / Number(total)) : '';
    cells.proof.replaceChildren(row.certified
      ? icon('M4.5 12.5 10 18 20 7') : icon('M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16', 'unproven'),
      unseen(row.certified ? 'proven' : 'not proven'));
    cells.proof.title = row.certified ? 'Proven to be among the top' : 'May be outside the top';
  }

  #animate(before) {
    for (const [item, {row, changed}] of this.#rows) {
      if (before.has(item)) {
        const way = before.get(item) - row.getBoundingClientRect().top;
        if (way) {
          // Above its neighbours while it rises past them.
          row.animate([
            {transform: `translateY(${way}px)`, position: 'relative', zIndex: way > 0 ? 2 : 1},
            {transform: 'none', position: 'relative', zIndex: way > 0 ? 2 : 1},
          ], {duration: MOVE_MSEC, easing: 'cubic-bezier(.2, .8, .2, 1)'});
        }
      } else {
        row.animate([{opacity: 0, transform: 'translateY(12px)'}, {}],
                    {duration: MOVE_MSEC, easing: 'ease-out'});
      }
      if (changed) {
        row.animate([{backgroundColor: 'var(--tint)'}, {backgroundColor: 'var(--tint)', offset: .3},
                     {}], {duration: FLASH_MSEC, easing: 'ease-out'});
      }
    }
  }
}

/** The way from the window or range before: an arrow and, for those who do not see it, words. */
function movement({rank, previous_rank: previous, movement}) {
  if (movement === 'new') {
    return make('span', {className: 'move', dataset: {way: 'new'}}, 'new');
  }
  if (previous === null || previous === undefined) return '';
  const steps = previous - rank;
  const way = steps > 0 ? 'up' : steps < 0 ? 'down' : 'same';
  const sign = {up: '▲', down: '▼', same: '='}[way];
  const shown = make('span', {}, steps ? `${sign} ${number(Math.abs(steps))}` : sign);
  shown.setAttribute('aria-hidden', 'true');
  const words = steps ? `${way} ${number(Math.abs(steps))} from the time before`
    : 'same as in the time before';
  return make('span', {className: 'move', dataset: {way}, title: words}, shown, unseen(words));
}

