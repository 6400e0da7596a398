// The button that goes through the themes: like the system, light, dark.

const ORDER = ['', 'light', 'dark'];
const NAMES = {'': 'like the system', light: 'light', dark: 'dark'};
const root = document.documentElement;
const button = document.getElementById('theme');

function name() {
  const text = `Theme: ${NAMES[root.dataset.theme ?? '']}`;
  document.getElementById('theme-name').textContent = text;
  button.title = text;
}

button.addEventListener('click', () => {
  const next = ORDER[(ORDER.indexOf(root.dataset.theme ?? '') + 1) % ORDER.length];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  try {
    localStorage.setItem('theme', next);
  } catch {
    // Storage is closed to this page: the choice holds until it is left.
  }
  name();
});
name();
