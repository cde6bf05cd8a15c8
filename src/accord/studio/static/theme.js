// Light or dark as chosen before the page is drawn; otherwise as the system says. And where one is stays in sight in rows of
// links that are longer than the screen.
(function () {
  const root = document.documentElement;
  try {
    const chosen = localStorage.getItem("accord:theme");
    if (chosen) root.dataset.theme = chosen;
  } catch { /* storage is off: the system decides */ }
  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll(".links [aria-current], .tabs [aria-current]").forEach(function (link) {
      const row = link.parentElement, box = row.getBoundingClientRect(), here = link.getBoundingClientRect();
      row.scrollLeft += here.left + here.width / 2 - (box.left + box.width / 2);
    });
    document.getElementById("theme")?.addEventListener("click", function () {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("accord:theme", root.dataset.theme); } catch { /* not kept */ }
    });
  });
})();
