// What changed, word by word: the longest common subsequence, after equal ends are set aside.

const LIMIT = 4e6; // cells of the table; beyond it the middle is shown as replaced

export function words(text) { return text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? []; }

/** [["same" | "del" | "ins", text], …] */
export function diff(before, after) {
  const a = words(before), b = words(after);
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const parts = [["same", a.slice(0, head)], ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)), ["same", a.slice(a.length - tail)]];
  const joined = [];
  for (const [kind, list] of parts) {
    if (!list.length) continue;
    if (joined.length && joined.at(-1)[0] === kind) joined.at(-1)[1] += list.join("");
    else joined.push([kind, list.join("")]);
  }
  return joined;
}

function middle(a, b) {
  if (!a.length || !b.length || a.length * b.length > LIMIT) return [["del", a], ["ins", b]];
  const width = b.length + 1, table = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      table[i * width + j] = a[i] === b[j] ? table[(i + 1) * width + j + 1] + 1 : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
  const parts = [];
  let i = 0, j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) { parts.push(["same", [a[i]]]); i += 1; j += 1; }
    else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) { parts.push(["del", [a[i]]]); i += 1; }
    else { parts.push(["ins", [b[j]]]); j += 1; }
  }
  return [...parts, ["del", a.slice(i)], ["ins", b.slice(j)]];
}
