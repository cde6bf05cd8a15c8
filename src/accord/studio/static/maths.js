// Formulas, drawn by KaTeX (0.16.22, MIT, in vendor/katex) as MathML: no fonts, no styles, nothing from elsewhere.

const DELIMITERS = [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false], ["$", "$", false]];

/** Draw the formulas in an element; one that cannot be read stays as it was written. */
export async function formulas(root) {
  const found = [...root.querySelectorAll(".math")];
  if (!found.length) return;
  await import("./vendor/katex/katex.min.js");
  for (const span of found) {
    const [tex, displayMode] = inside(span.textContent);
    const drawn = document.createElement("span");
    try {
      globalThis.katex.render(tex, drawn, { displayMode, output: "mathml", throwOnError: true, strict: "ignore", trust: false, maxExpand: 200, maxSize: 20 });
    } catch { continue; }
    span.replaceChildren(drawn);
  }
}

function inside(text) {
  const [open, close, displayed] = DELIMITERS.find(([begin]) => text.startsWith(begin)) ?? ["", "", true]; // else an environment
  return [text.slice(open.length, text.length - close.length), displayed];
}
