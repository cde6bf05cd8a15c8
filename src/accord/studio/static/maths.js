// Texts made ready to be read. Formulas are drawn by KaTeX (0.16.22, MIT, in vendor/katex) as MathML: no fonts, no styles, nothing from elsewhere.

const DELIMITERS = [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false], ["$", "$", false]];

// What is wider than its place can be scrolled by keyboard, too.
const wide = new ResizeObserver((entries) => entries.forEach(({ target }) => {
  if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight) target.tabIndex = 0; else target.removeAttribute("tabindex");
}));

/** Make texts in an element ready to be read: formulas drawn, wide tables within reach of the keyboard. */
export async function ready(root) {
  root.querySelectorAll("table").forEach((table) => wide.observe(table));
  await formulas(root);
  root.querySelectorAll(".math.display").forEach((formula) => wide.observe(formula));
}

/** Draw the formulas in an element; one that cannot be read, or of which a drawing hides something, stays as it was written. */
async function formulas(root) {
  const found = [...root.querySelectorAll(".math")];
  if (!found.length) return;
  await import("./vendor/katex/katex.min.js");
  for (const span of found) {
    const [tex, displayMode] = inside(span.textContent);
    const drawn = document.createElement("span");
    try {
      globalThis.katex.render(tex, drawn, { displayMode, output: "mathml", throwOnError: true, strict: "ignore", trust: false, maxExpand: 200, maxSize: 20 });
    } catch { continue; }
    if (!whole(tex, drawn)) continue;
    span.classList.toggle("display", displayMode);
    span.replaceChildren(drawn);
  }
}

function inside(text) {
  const [open, close, displayed] = DELIMITERS.find(([begin]) => text.startsWith(begin)) ?? ["", "", true]; // else an environment
  return [text.slice(open.length, text.length - close.length), displayed];
}

const UNSEEN = "annotation, mphantom, mpadded[width^='0']";
const WORDLESS = /\\(?:begin|end)\{(?:array|subarray|alignat|alignedat)\*?\}(?:\{[^}]*\})?|\\(?:begin|end)\{\w+\*?\}|\\\\\[[^\]]*\]|\\[a-zA-Z]+/g;

/** Whether a drawing shows every letter and digit of a formula but those of its commands: comments, phantoms, colours and definitions hide some. */
function whole(tex, drawn) {
  const copy = drawn.cloneNode(true);
  copy.querySelectorAll(UNSEEN).forEach((hidden) => hidden.remove());
  const seen = new Map();
  for (const letter of letters(copy.textContent)) seen.set(letter, (seen.get(letter) ?? 0) + 1);
  return letters(tex.replace(WORDLESS, " ")).every((letter) => { const left = seen.get(letter) ?? 0; seen.set(letter, left - 1); return left > 0; });
}

function letters(text) { return text.normalize("NFKC").match(/[\p{L}\p{N}]/gu) ?? []; }
