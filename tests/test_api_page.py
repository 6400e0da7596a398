"""The page in a real Chromium, over real stores."""
import json

import pytest
import serving
from servers.proxy import Proxy

from leaderboard.api.settings import Settings
from leaderboard.io import redisio
from leaderboard.transforms.boards import Row

pytestmark = pytest.mark.slow

ORDER = "[...document.querySelectorAll('#rows tbody tr:not(.ghost) td.item')].map(e => e.innerText)"
LIVE = "document.getElementById('connection').dataset.state === 'live'"
HOSTILE = '<img src=x onerror="window.hit=1"><b>&amp;\u202e\u05d0 "\' {{7*7}} ${window.hit=1}'
PHONE, DESK = 390, 1280


def is_order(*items):
  return f'JSON.stringify({ORDER}) === {json.dumps(json.dumps(list(items), separators=(",", ":")))}'


def opened(tab, service, query='', **screen):
  tab.show_as(**screen)
  tab.open(f'{service.base_url}/{query}')
  return tab


def text(tab, selector):
  return tab.run(f'document.querySelector({json.dumps(selector)}).innerText')


def click(tab, selector):
  tab.run(f'document.querySelector({json.dumps(selector)}).click()')


def spilled(make_record, **fields):
  """A board of open brackets: a is ahead for certain, b and c may be the other way round, and d
  may be out of the top."""
  return make_record({'a': 90, 'b': 60, 'c': 55, 'd': 20}, **{
      'rows': (Row('a', 90, 95), Row('b', 60, 70), Row('c', 55, 66), Row('d', 20, 50)),
      'total': 300, 'tau': 9, 'rest_upper': 30, 'resolution': 'partial', **fields})


def test_a_rank_change_arrives_live_and_moves(service, boards, make_record, tab):
  boards.apply([make_record({'LAX': 30, 'SFO': 20, 'BOS': 10})])
  opened(tab, service, '?event_type=play&tenant=acme&window=1h')
  tab.wait(is_order('LAX', 'SFO', 'BOS'))
  tab.wait(LIVE)
  tab.run("""window.same = true; window.moved = [];
    new MutationObserver(() => window.moved.push(...document.getAnimations()
      .map((one) => one.effect)
      .filter((effect) => effect.getKeyframes()[0].transform?.startsWith('translateY('))
      .map((effect) => effect.target.querySelector('.item').innerText)))
    .observe(document.querySelector('tbody'), {childList: true})""")
  boards.apply([make_record({'LAX': 30, 'SFO': 20, 'BOS': 45})])
  tab.wait(is_order('BOS', 'LAX', 'SFO'))
  assert tab.run('window.same') is True   # without a reload
  assert sorted(set(tab.run('window.moved'))) == ['BOS', 'LAX', 'SFO']
  assert tab.run("[...document.querySelectorAll('td.count')].map(e => e.innerText)") == [
      '45', '30', '20']
  tab.wait("document.getElementById('announcements').innerText.includes('BOS rose to rank 1')")
  # Another one enters, and the last one leaves what is listed.
  boards.apply([make_record({'BOS': 45, 'LAX': 30, 'MCO': 99})])
  tab.wait(is_order('MCO', 'BOS', 'LAX'))
  assert tab.run('window.same') is True
  assert not tab.problems


def test_a_newer_window_takes_the_place_of_the_newest(service, boards, make_record, tab):
  boards.apply([make_record({'a': 3, 'b': 1})])
  opened(tab, service)
  tab.wait(is_order('a', 'b'))
  tab.wait(LIVE)
  boards.apply([make_record({'b': 1, 'c': 1}, window_start=1_357_002_000,
                            window_end=1_357_005_600)])
  tab.wait(is_order('b', 'c'))
  assert '01:00–02:00 UTC' in text(tab, '#period')
  assert ' '.join(text(tab, 'tbody tr:first-child td.rank').split()) == (
      '1▲ 1 up 1 from the time before')


def test_who_asked_for_less_motion_gets_none(service, boards, make_record, tab):
  boards.apply([make_record({'a': 3, 'b': 1})])
  opened(tab, service, still=True)
  tab.wait(is_order('a', 'b'))
  tab.wait(LIVE)
  tab.run("""window.most = 0;
    new MutationObserver(() => { window.most = Math.max(window.most,
      document.getAnimations().length); })
    .observe(document.querySelector('tbody'), {childList: true})""")
  boards.apply([make_record({'a': 3, 'b': 9})])
  tab.wait(is_order('b', 'a'))
  assert tab.run('window.most') == 0


def test_brackets_are_drawn_as_they_are(service, boards, make_record, tab):
  boards.apply([spilled(make_record)])
  opened(tab, service)
  tab.wait(is_order('a', 'b', 'c', 'd'))
  rows = service.get('/v1/leaderboards/play', params={
      'tenant': 'acme', 'window': '1h', 'k': 10}).json()['rows']
  tab.show_as(still=True)   # no transition is under way
  drawn = tab.run("""[...document.querySelectorAll('tbody .bar')].map((bar) => {
    const [whole, solid, open, rest] = [bar, ...bar.children].map((e) => e.getBoundingClientRect());
    const place = (x) => Math.round(95 * (x - whole.left) / whole.width);
    return [place(solid.right), place(open.left), place(open.right), place(rest.left)];
  })""")
  assert drawn == [[row['lower'], row['lower'], row['upper'], 30] for row in rows]
  assert tab.run("[...document.querySelectorAll('td.proof')].map(e => e.innerText)") == [
      'proven' if row['certified'] else 'not proven' for row in rows]
  assert 'beyond the kept rows: at most 30' in text(tab, '#legend')
  assert 'First rank proven' in text(tab, '#badges')


def test_items_are_only_ever_text_and_nothing_comes_from_elsewhere(
    service, boards, make_record, tab):
  boards.apply([make_record({HOSTILE: 5, 'b': 1},
                            tenant_id=HOSTILE[:60], event_type=HOSTILE[:45])])
  opened(tab, service)
  tab.wait(f'{ORDER}.length === 2')
  assert tab.run("document.querySelector('td.item button').textContent") == HOSTILE
  assert tab.run("document.getElementById('title').textContent") == HOSTILE[:45]
  click(tab, 'td.item button')
  tab.wait("document.querySelector('#member .standing')")
  assert tab.run("document.querySelector('#member h2').textContent") == HOSTILE
  assert tab.run("[window.hit, document.querySelectorAll('img, b:not(.standing b)').length]") == [
      None, 0]
  # The policy holds against whoever tries: no markup out of text, no script of another source.
  assert tab.run("""(() => { try { document.body.innerHTML = '<p>'; return 'made'; }
                             catch (error) { return error.name; } })()""") == 'TypeError'
  origin = str(service.base_url)
  assert tab.requests and all(url.startswith(origin) for url in tab.requests)
  assert all('TrustedHTML' in problem for problem in tab.problems), tab.problems


def test_no_boards_yet_is_said_and_the_first_one_is_shown(service, boards, make_record, tab):
  opened(tab, service)
  tab.wait("document.getElementById('empty').innerText.includes('No boards yet')")
  boards.apply([make_record({'a': 1})])
  tab.wait(is_order('a'))
  tab.wait(LIVE)


def test_a_time_without_a_board_leads_back(service, boards, make_record, tab):
  boards.apply([make_record({'a': 1})])
  opened(tab, service, '?event_type=play&tenant=acme&window=1h&at=2012-01-01T00:00:00Z')
  tab.wait("document.getElementById('empty').innerText.includes('No board for this time')")
  click(tab, '#empty button')
  tab.wait(is_order('a'))
  tab.run('history.back()')
  tab.wait("!document.getElementById('empty').hidden")


def test_steps_lead_over_a_window_without_a_board(service, boards, make_record, tab):
  boards.apply([make_record({'a': 1}), make_record(
      {'b': 1}, window_start=1_357_005_600, window_end=1_357_009_200)])
  opened(tab, service)
  tab.wait(is_order('b'))
  click(tab, '#earlier')
  tab.wait("document.getElementById('empty').innerText.includes('No board for this time')")
  click(tab, '#earlier')
  tab.wait(is_order('a'))
  click(tab, '#later')
  click(tab, '#later')
  tab.wait(is_order('b'))


def test_a_refusal_is_shown_with_its_remedy(service, boards, make_record, tab):
  boards.apply([make_record({'a': 1})])
  opened(tab, service, '?event_type=play&tenant=acme&window=1h&at=yesterday')
  tab.wait("document.getElementById('empty').innerText.includes('must be an RFC 3339 date')")


def test_a_lost_connection_is_said_and_nothing_is_missed(service, boards, make_record, tab):
  boards.apply([make_record({'a': 3, 'b': 1})])
  with Proxy(service.base_url.port) as proxy:
    tab.open(f'http://127.0.0.1:{proxy.port}/')
    tab.wait(is_order('a', 'b'))
    tab.wait(LIVE)
    with proxy.refusing():
      tab.wait("document.getElementById('notices').innerText.includes('The connection is lost')")
      assert text(tab, '#connection') == 'Reconnecting'
      boards.apply([make_record({'a': 3, 'b': 9})])
      assert tab.run(ORDER) == ['a', 'b']
    tab.wait(is_order('b', 'a'))
    tab.wait(LIVE)
    assert text(tab, '#notices') == ''


def test_a_store_that_is_away_is_said(tmp_path, redis_url, make_record, tab):
  port = int(redis_url.rpartition(':')[2].partition('/')[0])
  with Proxy(port) as proxy, serving.serving(
      Settings(redis=f'redis://127.0.0.1:{proxy.port}/0')) as client:
    boards = redisio.RedisBoards(redis_url)
    boards.apply([make_record({'a': 3, 'b': 1})])
    opened(tab, client)
    tab.wait(is_order('a', 'b'))
    tab.wait(LIVE)
    with proxy.refusing():
      tab.wait("document.getElementById('connection').innerText === 'Updates paused'")
      assert 'live store is away' in text(tab, '#notices')
      boards.apply([make_record({'a': 3, 'b': 9})])
    tab.wait(is_order('b', 'a'))
    tab.wait(LIVE)
    boards.close()


def test_the_keyboard_reaches_everything(service, boards, make_record, tab):
  boards.apply([make_record({'a': 3, 'b': 1}), make_record({'x': 1}, tenant_id='other')])
  opened(tab, service, '?tenant=acme&event_type=play&window=1h')
  tab.wait(is_order('a', 'b'))
  reached = []
  for _ in range(13):
    tab.press('Tab', 9)
    reached.append(tab.run("""(() => { const e = document.activeElement;
      const ring = getComputedStyle(e.matches('.segments input') ? e.nextElementSibling : e);
      return [e.id || e.name || e.innerText, ring.outlineStyle]; })()"""))
  names = [name for name, _ in reached]
  assert names[:3] == ['Skip to the board', 'theme', 'event-type']
  for name in ('tenant', 'window', 'mode', 'k', 'earlier', 'a', 'b', 'search'):
    assert name in names, names
  assert {style for _, style in reached} == {'solid'}   # a ring around each
  tab.run("document.querySelector('td.item button').focus()")
  tab.press('Enter', 13, '\r')
  tab.wait("document.querySelector('#member .standing')?.innerText.startsWith('1')")
  assert tab.run("new URLSearchParams(location.search).get('item')") == 'a'
  # The focus stays on an item that moves.
  boards.apply([make_record({'a': 3, 'b': 7})])
  tab.wait(is_order('b', 'a'))
  assert tab.run('document.activeElement.innerText') == 'a'


def test_any_item_is_found(service, boards, make_record, tab):
  boards.apply([spilled(make_record)])
  opened(tab, service)
  tab.wait(is_order('a', 'b', 'c', 'd'))
  tab.run("document.getElementById('search').focus()")
  tab.type('c')
  tab.press('Enter', 13, '\r')
  tab.wait("document.querySelector('#member .standing')")
  assert text(tab, '#member .standing b') == '2–3'
  assert '55–66' in text(tab, '#member dl')
  tab.run("document.getElementById('search').select()")
  tab.type('nobody knows')
  tab.press('Enter', 13, '\r')
  tab.wait("document.querySelector('#member dl')?.innerText.includes('0–30')")
  assert 'Not among the rows' in text(tab, '#member')


def test_switches_range_and_steps_over_real_boards(flight_service, tab):
  opened(tab, flight_service, '?event_type=flight&tenant=JFK&window=1d')
  tab.wait(f'{ORDER}.length === 10')
  tab.run("""(() => { const tenant = document.getElementById('tenant'); tenant.value = 'LGA';
    tenant.dispatchEvent(new Event('change', {bubbles: true})); })()""")
  tab.wait("document.getElementById('period').innerText.startsWith('LGA')")
  click(tab, '#earlier')
  tab.wait("document.getElementById('period').innerText.includes('10 Feb 2013')")
  wait_for_answer(tab, flight_service, {'tenant': 'LGA', 'window': '1d', 'at': '2013-02-10'})
  click(tab, 'input[value=range]')
  click(tab, '[data-days="1"]')
  tab.wait("document.getElementById('connection').innerText === 'History'")
  tab.wait("document.getElementById('badges').innerText.includes('From history')")
  query = tab.run('Object.fromEntries(new URLSearchParams(location.search))')
  wait_for_answer(tab, flight_service, {
      'tenant': 'LGA', 'from': query['from'], 'to': query['to']})
  assert not tab.problems


def wait_for_answer(tab, service, params):
  rows = service.get('/v1/leaderboards/flight', params={**params, 'k': 10}).json()['rows']
  tab.wait(is_order(*[row['item'] for row in rows]))


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('width', [PHONE, DESK])
def test_axe_finds_nothing_and_nothing_sticks_out(
    service, boards, make_record, tab, axe_source, width, dark):
  long = 'a-name-that-is-longer-than-any-column-' * 4
  first = spilled(make_record)
  boards.apply([first, spilled(
      make_record, window_start=first.window_end, window_end=first.window_end + 3600,
      rows=(Row('b', 90, 95), Row(long, 60, 70), Row('a', 55, 66), Row('d', 20, 50)))])
  tab.call('Page.setBypassCSP', enabled=True)   # for axe alone
  opened(tab, service, f'?event_type=play&tenant=acme&window=1h&item={long}', width=width,
         dark=dark, still=True)
  tab.wait("document.querySelector('#member .around')")
  tab.wait(LIVE)
  assert tab.run('document.documentElement.scrollWidth') <= width
  tab.run(axe_source + ';0')
  found = tab.run("""axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa',
    'wcag22aa', 'best-practice']}).then((found) => found.violations.map((one) =>
      [one.id, one.help, one.nodes.map((node) => node.html.slice(0, 120))]))""")
  assert found == []


def test_the_theme_is_chosen_and_kept(service, boards, make_record, tab):
  boards.apply([make_record({'a': 1})])
  opened(tab, service, dark=True)
  tab.wait(is_order('a'))
  ground = 'getComputedStyle(document.body).backgroundColor'
  dark = tab.run(ground)
  click(tab, '#theme')
  assert tab.run(ground) != dark
  tab.open(f'{service.base_url}/')
  tab.wait(is_order('a'))
  assert tab.run("[document.documentElement.dataset.theme, document.getElementById('theme').title]"
                 ) == ['light', 'Theme: light']


def test_parts_of_the_page_are_kept_as_long_as_they_hold(service):
  first = service.get('/page/main.js')
  assert first.status_code == 200 and first.headers['content-type'].startswith('text/javascript')
  again = service.get('/page/main.js', headers={'If-None-Match': first.headers['etag']})
  assert (again.status_code, again.content) == (304, b'')
  for path in ('/page/nothing.js', '/page/index.html', '/page/..%2fpage.py', '/page/__init__.py'):
    assert service.get(path).status_code == 404
