// Formulas as MathML, drawn by the studio's KaTeX: no fonts, no styles, nothing from elsewhere.
document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".arithmatex")) {
    const written = place.textContent.trim(), displayMode = written.startsWith("\\[");
    katex.render(written.slice(2, -2), place, { displayMode, output: "mathml", throwOnError: true });
  }
});
