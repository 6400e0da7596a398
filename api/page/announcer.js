// What a screen reader is told, politely.

// What changes faster is told together.
const ANNOUNCE_MSEC = 4000;

let saidAt = 0;
let pending = {rose: new Map(), entered: new Map()};
let saying = 0;

/**
 * Tells what moved to those who do not see it, gathered over some seconds.
 *
 * @param {Object} changes `rose` and `entered`, lists of rows
 */
export function announce({rose, entered}) {
  for (const row of rose) pending.rose.set(row.item, row.rank);
  for (const row of entered) pending.entered.set(row.item, row.rank);
  if (!pending.rose.size && !pending.entered.size) return;
  saying ||= setTimeout(() => {
    const lines = [...[...pending.rose].map(([name, rank]) => `${name} rose to rank ${rank}`),
                   ...[...pending.entered].map(([name, rank]) => `${name} entered at rank ${rank}`)];
    pending = {rose: new Map(), entered: new Map()};
    saying = 0;
    say(lines.slice(0, 4).join('. ') + (lines.length > 4 ? `. ${lines.length - 4} more changes` : ''));
  }, Math.max(0, saidAt + ANNOUNCE_MSEC - Date.now()));
}

/** Says a text at once. */
export function say(text) {
  saidAt = Date.now();
  document.getElementById('announcements').textContent = text;
}
