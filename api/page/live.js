// Follows the changes of boards, and comes back by itself when the connection is lost.
import {address, parse} from './api.js';

const FIRST_WAIT_MSEC = 500;
const LONGEST_WAIT_MSEC = 15_000;
// The service tells its state every 15 s at least: after more than twice that nobody is there.
const SILENCE_MSEC = 40_000;

/**
 * One followed stream. Unlike an EventSource it also comes back after a refusal, tells how it
 * stands, and notices a connection that is open and dead.
 *
 * @param {string} path of the stream
 * @param {Object} query its parameters
 * @param {Object} on `board(change)`, `reset()`, and `state(name)` with `live`, `away` (the
 *   service lost its store), `lost` (we lost the service) or `past` (nothing can be followed)
 */
export class Live {
  #lastId = '';
  #wait = FIRST_WAIT_MSEC;
  #retry = 0;
  #silence = 0;
  #reading = null;

  constructor(path, query, on) {
    Object.assign(this, {path, query, on});
    this.#read();
  }

  close() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#reading?.abort();
    this.#reading = null;
    this.on = null;
  }

  /** Tries again now. */
  again() {
    if (this.on && !this.#reading) this.#read();
  }

  async #read() {
    clearTimeout(this.#retry);
    const mine = this.#reading = new AbortController();
    try {
      this.#heard();
      const answer = await fetch(address(this.path, this.query), {
        headers: {Accept: 'text/event-stream', ...(this.#lastId && {'Last-Event-ID': this.#lastId})},
        cache: 'no-store', signal: mine.signal});
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
        const {on} = this;
        this.close();   // nothing that waiting would mend
        on?.state('past');
        return;
      }
      if (!answer.ok) throw new Error(`${answer.status}`);
      await this.#events(answer.body.pipeThrough(new TextDecoderStream()));
    } catch {
      // However it ended, it is tried again below.
    }
    if (mine === this.#reading) this.#lost();
  }

  /** Takes a stream of text apart: blocks of `name: value` lines between empty lines. */
  async #events(stream) {
    let rest = '';
    for (const reader = stream.getReader(); ;) {
      const {value, done} = await reader.read();
      if (done) return;
      this.#heard();
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split('\n').map((line) => {
          const colon = line.indexOf(': ');
          return [line.slice(0, colon), line.slice(colon + 2)];
        }));
        if (fields.id) this.#lastId = fields.id;
        this.#event(fields.event, fields.data && parse(fields.data));
      }
    }
  }

  #event(name, data) {
    if (name === 'board') this.on?.board(data);
    if (name === 'reset') this.on?.reset();
    if (name === 'status') {
      this.#wait = FIRST_WAIT_MSEC;
      this.on?.state(data.connected ? 'live' : 'away');
    }
  }

  #heard() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lost(), SILENCE_MSEC);
  }

  #lost() {
    clearTimeout(this.#silence);
    this.#reading?.abort();
    this.#reading = null;
    // Spread out: a restarted service must not meet all its pages at once.
    this.#retry = setTimeout(() => this.#read(), this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MSEC);
    this.on?.state('lost');
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
