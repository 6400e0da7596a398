// Makes elements. Items are the users' data: text is only ever text here.

/** An element with properties and children; text is only ever text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const {dataset, role, ...plain} = properties;
  if (role) element.setAttribute('role', role);
  Object.assign(element.dataset, dataset);
  Object.assign(element, plain);
  element.append(...children);
  return element;
}

/** An SVG icon of one path. */
export const icon = (path, className = '') => makeSvg(
  'svg', {viewBox: '0 0 24 24', 'aria-hidden': 'true', class: className}, makeSvg('path', {d: path}));

/** An SVG element with attributes and children. */
export function makeSvg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Text for screen readers alone. */
export const unseen = (text) => make('span', {className: 'unseen'}, text);
