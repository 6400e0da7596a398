// The service's answers, as plain objects; its refusals as `Problem`s.

/** What went wrong, in the words of the service (RFC 9457) or, without an answer, our own. */
export class Problem extends Error {
  constructor({title, detail = '', remedy = '', status = 0}) {
    super(title);
    Object.assign(this, {title, detail, remedy, status});
  }
}

const PATIENCE_MSEC = 30_000;

/**
 * Reads one resource.
 *
 * @param {string} path below the page's own folder, so that a prefix in front of the service holds
 * @param {Object} query parameters; those that are null or empty are left out
 * @param {AbortSignal} signal gives the request up
 */
export async function read(path, query = {}, signal = undefined) {
  const signals = [AbortSignal.timeout(PATIENCE_MSEC), ...(signal ? [signal] : [])];
  let answer;
  let text;
  try {
    answer = await fetch(address(path, query), {signal: AbortSignal.any(signals)});
    text = await answer.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem({
      title: error.name === 'TimeoutError' ? 'The service takes too long' : 'No connection',
      detail: 'The service did not answer.'});
  }
  let body;
  try {
    body = parse(text);
  } catch {
    throw new Problem({title: 'The answer cannot be read', status: answer.status,
                       detail: `The service answered ${answer.status} with something else than JSON.`});
  }
  if (!answer.ok) throw new Problem({title: 'The service refused', ...body, status: answer.status});
  return body;
}

/** The URL of a resource and its parameters. */
export function address(path, query = {}) {
  const url = new URL(path, new URL('.', document.baseURI));
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, value);
  }
  return url;
}

/** JSON whose integers stay exact: those beyond 2^53 become BigInt, where the browser tells them. */
export function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context.source) : value);
}
