// Light, dark, or as the system is.

const ORDER = ["auto", "light", "dark"];
const STORED = "keywarp-theme";

function remembered() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // storage may be forbidden
  }
}

function remember(theme) {
  try {
    localStorage.setItem(STORED, theme);
  } catch {
    // it then lasts until the page is closed
  }
}

function show(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.getElementById("theme-word").textContent = theme;
}

export function startTheme(onChange) {
  let theme = ORDER.includes(remembered()) ? remembered() : "auto";
  show(theme);
  document.getElementById("theme").addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    remember(theme);
    show(theme);
    onChange();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}
