// What an answer says about itself, in words.
import {make} from './dom.js';
import * as format from './format.js';

/** Of which window or range an answer is. */
export const period = (found) => [found.window && format.windowName(found.window),
                           format.span(found.from, found.to)].filter(Boolean).join(' · ');

/** How sure an answer is, as list items. */
export function badges(found) {
  const proven = found.certified_prefix;
  const {windows = [], missing_windows: missing = 0} = found.coverage ?? {};
  const words = [
    {exact: ['Exact', 'good', 'Every count is exact'],
     resolved: ['All rows proven', 'good', 'Every row is proven to be among the top'],
     partial: [proven === 1 ? 'First rank proven' : proven
               ? `First ${format.number(proven)} ranks proven` : 'Ranks not proven', '',
               'The brackets of later rows overlap'],
     low: ['Low resolution', 'warn', 'An item that is not tracked may weigh half as much as the last row'],
    }[found.resolution],
    found.final ? ['Final', 'good', 'No event can change this board any more']
      : found.final === false && ['Still counting', '', 'Events can still change this board'],
    {history: ['From history', '', 'Merged from the stored summaries'],
     exact: ['From the archive', '', 'Counted from the archived events']}[found.path],
    windows.length > 0 && !found.window && [
      windows.map(({size, count}) => `${format.number(count)} × ${size}`).join(' + '), '',
      'Windows that were merged'],
    missing > 0 && [`${format.counted(missing, 'window')} missing`, 'warn', 'See below'],
    found.revision?.generation > 0 && [
      `Recounted (generation ${found.revision.generation})`, '', 'A backfill counted it anew'],
  ].filter(Boolean);
  return words.map(([text, kind, why]) => make('li', {dataset: {kind}, title: why}, text));
}

/** The numbers of a whole board, as terms of a list. */
export function numbers(found) {
  const proven = found.rows.filter((row) => row.certified).length;
  const pairs = [
    ['Total', format.number(found.total)],
    ['Events', format.number(found.events)],
    ['Proven', `${format.number(proven)} of ${format.number(found.rows.length)}`],
    ['Updated', make('time', {id: 'age', dateTime: found.as_of, title: found.as_of},
                     format.ago(found.as_of))],
  ];
  return pairs.map(([term, value]) => make('div', {}, make('dt', {}, term), make('dd', {}, value)));
}
