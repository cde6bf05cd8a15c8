// Light or dark as chosen before the page is drawn; otherwise as the system says.
(function () {
  const root = document.documentElement;
  try {
    const chosen = localStorage.getItem("accord:theme");
    if (chosen) root.dataset.theme = chosen;
  } catch { /* storage is off: the system decides */ }
  document.addEventListener("DOMContentLoaded", function () {
    document.getElementById("theme")?.addEventListener("click", function () {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("accord:theme", root.dataset.theme); } catch { /* not kept */ }
    });
  });
})();
