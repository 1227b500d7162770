// The theme button: system, light, dark. Without it the page follows the system, by CSS alone.

const STORAGE_KEY = "gatepass-demo:theme";
const THEMES = ["system", "light", "dark"];

export function setUpTheme(button) {
  let theme = THEMES.includes(localStorage.getItem(STORAGE_KEY))
    ? localStorage.getItem(STORAGE_KEY)
    : "system";
  const apply = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    localStorage.setItem(STORAGE_KEY, theme);
    apply();
  });
  apply();
}
