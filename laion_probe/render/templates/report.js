// Three conveniences; without scripts the report reads the same, and flagged pictures stay blurred.
(() => {
  "use strict";
  const root = document.documentElement;

  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const nameTheme = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  system.addEventListener("change", nameTheme);
  nameTheme();
  theme.hidden = false;

  for (const veil of document.querySelectorAll("button.veil")) {
    veil.addEventListener("click", () => {
      const veiled = veil.parentElement.classList.toggle("veiled");
      veil.setAttribute("aria-pressed", String(!veiled));
      veil.textContent = veiled ? "Flagged unsafe. Show" : "Blur again";
    });
  }

  const copy = document.getElementById("copy");
  const command = document.getElementById("command");
  const copied = document.getElementById("copied");
  // The clipboard API is not given to every page opened from disk; a selection always is.
  const copySelection = () => {
    const range = document.createRange();
    range.selectNodeContents(command);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  };
  copy.addEventListener("click", async () => {
    let done = false;
    try {
      await navigator.clipboard.writeText(command.textContent);
      done = true;
    } catch {
      done = copySelection();
    }
    copied.textContent = done ? "Copied." : "Selected: copy it with your keyboard.";
  });
  copy.hidden = false;

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
})();
