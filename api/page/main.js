// Brings it together: what is asked for is read, shown, followed, and said when it fails.
import {announce, say} from './announcer.js';
import {read} from './api.js';
import {Board} from './board.js';
import {Controls, modeOf} from './controls.js';
import {make} from './dom.js';
import {badges, numbers, period} from './facts.js';
import * as format from './format.js';
import {Item} from './item.js';
import {applied, Live} from './live.js';
import './themes.js';

// What changes faster is read no more often than this.
const REFRESH_MSEC = 1000;
const CATALOG_MSEC = 60_000;
const EMPTY_MSEC = 3000;
// A connection that is back sooner needs no words.
const LOST_MSEC = 2000;
const element = (id) => document.getElementById(id);

const section = element('board');
const board = new Board(element('rows'), choose);
const item = new Item(element('member'), element('search'), choose);
let controls;
let answer = null;
let shownFor = '';
let live = null;
let reading = null;
let readAt = 0;
let state = 'loading';
let lostSince = 0;
let waiting = 0;

async function start() {
  board.wait(10);
  try {
    controls = new Controls(await catalog(), asked);
  } catch (problem) {
    section.setAttribute('aria-busy', 'false');
    explain(problem, start);
    connection('lost');
    return;
  }
  asked(controls.asked);
  setInterval(async () => controls.offer(await catalog().catch(() => controls.boards)), CATALOG_MSEC);
  setInterval(age, 1000);
}

async function catalog() {
  return (await read('v1/event_types')).boards;
}

/** Another board, or another item of it. */
function asked(query) {
  const {item: name, ...what} = query;
  const key = JSON.stringify(what);
  if (key !== shownFor) {
    shownFor = key;
    answer = null;
    live?.close();
    live = null;
    section.classList.remove('fresh');
    if (!query.event_type) {
      nothing();
      return;
    }
    title();
    refresh();
    follow();
  }
  item.show(name, question(), path());
  board.mark(name);
}

/** An item was picked: where the panel is not beside the board, it is brought into view. */
function choose(name) {
  controls.set({item: name}, true);
  if (name) element('member').scrollIntoView({block: 'nearest'});
}

/** The parameters of the board that is asked for; a range has no window. */
function question() {
  const {tenant, window, at, from, to} = controls.asked;
  return {tenant, window, at, from, to};
}

const range = () => modeOf(controls.asked) === 'range';
const path = () => `v1/leaderboards/${encodeURIComponent(controls.asked.event_type)}`;

async function refresh() {
  clearTimeout(waiting);
  waiting = 0;
  reading?.abort();
  const mine = reading = new AbortController();
  const moving = answer;
  readAt = Date.now();
  section.setAttribute('aria-busy', 'true');
  try {
    const found = await read(path(), {
      ...question(), ...(range() && {window: '', movement: true}), k: controls.asked.k}, mine.signal);
    if (mine !== reading) return;
    show(found, moving !== null);
  } catch (problem) {
    if (mine !== reading || problem.name === 'AbortError') return;
    if (answer && (problem.status === 0 || problem.status >= 500)) notices(problem);
    else explain(problem, refresh);
  }
  section.setAttribute('aria-busy', 'false');
}

/** Reads anew soon, once, however many ask for it. */
function refreshSoon() {
  waiting ||= setTimeout(refresh, Math.max(0, readAt + REFRESH_MSEC - Date.now()));
}

function follow() {
  if (range()) {
    connection('past');
    return;
  }
  const {tenant, window, at, k} = controls.asked;
  live = new Live(`${path()}/changes`, {tenant, window, at, k}, {
    board: changed,
    reset: refreshSoon,
    state: (name) => {
      // What came between the reading and the connection is read now.
      if (name === 'live' && state !== 'live') refreshSoon();
      connection(name);
    },
  });
}

function changed(change) {
  if (!answer || change.from < answer.from) return;
  const rows = change.from === answer.from ? applied(answer, change) : null;
  if (rows === null) {
    refreshSoon();
    return;
  }
  const {tenant, event_type: type, window, from, to, ...now} = change;
  show({...answer, ...now, as_of: new Date().toISOString(), rows}, true);
}

function show(found, moving) {
  const same = moving && answer?.from === found.from && answer?.to === found.to;
  answer = found;
  element('empty').hidden = true;
  for (const id of ['rows', 'numbers', 'badges', 'legend']) element(id).hidden = false;
  title();
  const changes = board.show(found, moving);
  section.classList.add('fresh');
  section.setAttribute('aria-busy', 'false');
  element('badges').replaceChildren(...badges(found));
  element('numbers').replaceChildren(...numbers(found));
  const rest = found.rest_upper > 0;
  section.querySelector('.rest-only').hidden = !rest;
  section.querySelector('.open-only').hidden = found.rows.every((row) => row.lower === row.upper);
  element('rest').textContent = `beyond the kept rows: at most ${format.number(found.rest_upper)}`;
  item.suggest(found.rows.map((row) => row.item));
  board.mark(controls.asked.item);
  notices();
  if (same) announce(changes);
  else say(`${format.counted(found.rows.length, 'row')} of ${found.event_type}, ${period(found)}`);
  if (moving) item.refresh();
}

function title() {
  const {event_type: type, tenant, window} = controls.asked;
  element('later').disabled = modeOf(controls.asked) === 'newest';
  element('title').textContent = type;
  element('period').textContent = answer ? `${answer.tenant} · ${period(answer)}`
    : [tenant, window && format.windowName(window)].filter(Boolean).join(' · ');
  document.title = `${type}, ${tenant} – Leaderboards`;
}

function age() {
  const time = element('age');
  if (time) time.textContent = format.ago(time.dateTime);
  if (state === 'lost' && lostSince && Date.now() - lostSince > LOST_MSEC) notices();
}

/** No board to show: why, and what to do. */
function explain(problem, again) {
  answer = null;
  for (const id of ['rows', 'numbers', 'badges', 'legend']) element(id).hidden = true;
  const absent = problem.status === 404;
  const box = element('empty');
  box.hidden = false;
  const told = absent
    ? ['Nothing is stored of it: nothing happened then, or it is not known.']
    : [problem.detail, problem.remedy];
  box.replaceChildren(make('h2', {}, absent ? 'No board for this time' : problem.title),
                      ...told.map((text) => make('p', {}, text)));
  if (absent && modeOf(controls.asked) !== 'newest') {
    box.append(button('Go to the newest', () => controls.set({at: '', from: '', to: ''})));
  } else if (!absent) {
    box.append(button('Try again', again));
  }
  if (controls) title();
  notices();
  say(`${box.querySelector('h2').textContent}. ${told[0]}`);
}

function nothing() {
  section.setAttribute('aria-busy', 'false');
  for (const id of ['rows', 'numbers', 'badges', 'legend']) element(id).hidden = true;
  connection('past');
  const box = element('empty');
  box.hidden = false;
  box.replaceChildren(
    make('h2', {}, 'No boards yet'),
    make('p', {}, 'They appear here as soon as a job has published one.'));
  setTimeout(async () => {
    controls.offer(await catalog().catch(() => []));
    shownFor = '';
    asked(controls.asked);
  }, EMPTY_MSEC);
}

function button(text, act) {
  const made = make('button', {type: 'button'}, text);
  made.addEventListener('click', act);
  return made;
}

function connection(name) {
  if (name === 'lost' && state !== 'lost') lostSince = Date.now();
  const changed = name !== state;
  state = name;
  const pill = element('connection');
  pill.dataset.state = name === 'lost' ? 'away' : name;
  pill.textContent = {
    loading: 'Loading', live: 'Live', away: 'Updates paused', lost: 'Reconnecting', past: 'History',
  }[name];
  if (changed) notices();
}

/** What a reader has to know about what is shown. */
function notices(problem = null) {
  const found = [];
  if (problem) found.push(['bad', `${problem.title}. ${problem.detail}`, ['Try again', refresh]]);
  if (state === 'lost' && Date.now() - lostSince > LOST_MSEC) {
    found.push(['bad', answer ? `The connection is lost. This is the board as of ${
      format.moment(answer.as_of)}; it will go on by itself.` : 'The connection is lost.',
    ['Try now', () => live?.again()]]);
  }
  if (state === 'away') {
    found.push(['warn', 'The live store is away: updates are paused and go on by themselves.']);
  }
  if (answer?.degraded) found.push(['warn', answer.degraded]);
  const {missing = [], missing_windows: count = 0} = answer?.coverage ?? {};
  if (count > 0) {
    const shown = missing.slice(0, 3).map(({from, to}) => format.span(from, to)).join('; ');
    found.push(['warn', `Nothing is stored of ${shown}${missing.length > 3 ? '; …' : ''} (${
      format.counted(count, 'window')}): nothing happened then, or it is not known.`]);
  }
  const box = element('notices');
  const texts = JSON.stringify(found.map(([kind, text]) => [kind, text]));
  if (box.dataset.shown === texts) return;   // said once is enough
  box.dataset.shown = texts;
  box.replaceChildren(...found.map(([kind, text, action]) => make(
    'div', {className: 'notice', dataset: {kind}}, make('span', {}, text),
    ...(action ? [button(...action)] : []))));
}

element('earlier').addEventListener('click', () => step(-1));
element('later').addEventListener('click', () => step(1));

/** The window, or range of the same length, before or after the one that is asked for. */
function step(way) {
  const {at, from, to, window} = controls.asked;
  if (range()) {
    const length = way * (new Date(to) - new Date(from));
    controls.set({from: format.iso(+new Date(from) + length), to: format.iso(+new Date(to) + length)});
  } else if (answer) {
    controls.set({at: way < 0 ? format.iso(new Date(answer.from) - 1000) : answer.to});
  } else if (at) {   // no board there, or none yet
    controls.set({at: format.iso(+new Date(at) + way * format.lengthMsec(window))});
  } else if (way < 0 && controls.newest) {
    controls.set({at: format.iso(new Date(controls.newest) - 1000)});
  }
}

await start();
