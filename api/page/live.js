// Follows the changes of boards, and comes back by itself when the connection is lost.
import {address, parse} from './api.js';

const FIRST_WAIT_MSEC = 500;
const LONGEST_WAIT_MSEC = 15_000;
// The service tells its state every 15 s at least: after more than twice that nobody is there.
const SILENCE_MSEC = 40_000;

/**
 * One followed stream. Unlike a bare EventSource it also comes back after a refusal, tells how
 * long it waits, and notices a connection that is open and dead.
 *
 * @param {string} path of the stream
 * @param {Object} query its parameters
 * @param {Object} on `board(change)`, `reset()`, and `state(name, retryAt)` with `live`, `away`
 *   (the service lost its store) or `lost` (we lost the service; tried again at `retryAt`)
 */
export class Live {
  #source = null;
  #lastId = '';
  #wait = FIRST_WAIT_MSEC;
  #retry = 0;
  #silence = 0;
  #closed = false;

  constructor(path, query, on) {
    Object.assign(this, {path, query, on});
    this.#open();
  }

  close() {
    this.#closed = true;
    this.#stop();
  }

  /** Tries again now. */
  again() {
    if (!this.#closed && !this.#source) this.#open();
  }

  #stop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#stop();
    const source = new EventSource(
      address(this.path, {...this.query, last_event_id: this.#lastId}));
    this.#source = source;
    const listen = (name, act) => source.addEventListener(name, (event) => {
      this.#heard();
      if (event.lastEventId) this.#lastId = event.lastEventId;
      act(event.data ? parse(event.data) : null);
    });
    listen('board', (change) => this.on.board(change));
    listen('reset', () => this.on.reset());
    listen('status', ({connected}) => {
      this.#wait = FIRST_WAIT_MSEC;
      this.on.state(connected ? 'live' : 'away');
    });
    source.onerror = () => this.#lost();
    this.#heard();
  }

  #heard() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lost(), SILENCE_MSEC);
  }

  #lost() {
    this.#stop();
    if (this.#closed) return;
    // Spread out: a restarted service must not meet all its pages at once.
    const wait = this.#wait * (0.75 + Math.random() / 2);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MSEC);
    this.#retry = setTimeout(() => this.#open(), wait);
    this.on.state('lost', Date.now() + wait);
  }
}

/**
 * The rows after a change, or null when the change is of another revision than these rows.
 *
 * @param {Object} answer what is shown, with its revision and rows
 * @param {Object} change a `board` event: `rows` that are new or other, items that are `gone`
 */
export function applied(answer, change) {
  const {since} = change;
  if (since === null) return change.rows;
  if (since.generation !== answer.revision.generation || since.events !== answer.revision.events) {
    return null;
  }
  const left = new Set([...change.gone, ...change.rows.map((row) => row.item)]);
  return [...answer.rows.filter((row) => !left.has(row.item)), ...change.rows]
    .sort((a, b) => a.rank - b.rank);
}
