"""Summaries of documents that nobody reads at once, as trees (Wu et al. 2021, "Recursively
Summarizing Books with Human Feedback"): a leaf is the summary of a chunk, an inner node that of its
children's summaries. At every node several are written, and one goes on; whoever judges a node
reads that node alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from accord.feedback.records import Option
from accord.oversight.ai_judge import AiJudge, JudgedItem
from accord.oversight.drafts import Failure, usable
from accord.oversight.judge_records import JudgeItem
from accord.oversight.trees import QuestionTree, TreeNode, grown
from accord.oversight.writers import Writer
from accord.seeds import derive_seed

REQUEST = (
    "Summarise this passage of a longer text in at most {words} words. Write the summary alone."
)
TOGETHER = (
    "These are summaries of {count} passages of a longer text that follow one another. Summarise"
    " them as one, in at most {words} words. Write the summary alone."
)


def chunks(text: str, words: int) -> list[str]:
    """Parts of so many words at most, cut after paragraphs or sentences where one ends in the last
    third of a part; put together they are the text."""
    ends = [match.end() for match in re.finditer(r"\S+\s*", text)]
    found, first, place = list[str](), 0, 0
    while place < len(ends):
        last = min(place + words, len(ends))
        if last < len(ends):
            last = _better_end(text, ends, place, last)
        found.append(text[first : ends[last - 1]])
        first, place = ends[last - 1], last
    return found


def _better_end(text: str, ends: Sequence[int], place: int, last: int) -> int:
    """The last word of a paragraph, else of a sentence, in the last third before `last`."""
    least = place + max(1, (last - place) * 2 // 3)
    words = range(last, least - 1, -1)
    for closes in (_ends_paragraph, _ends_sentence):
        for number in words:
            if closes(text[ends[number - 2] if number > 1 else 0 : ends[number - 1]]):
                return number
    return last


def _ends_paragraph(word: str) -> bool:
    return re.search(r"\n\s*\n\s*$", word) is not None


def _ends_sentence(word: str) -> bool:
    return re.search(r"[.!?][\"'”’)]*\s+$", word) is not None


@dataclass(frozen=True)
class SummaryRules:
    """chunk_words: of a chunk at most; branches: children of a node at most; summary_words: asked
    for at every node; samples: summaries written at every node."""

    chunk_words: int
    branches: int
    summary_words: int
    samples: int


@dataclass(frozen=True)
class NodeSummary:
    """What became of a node: its level (0: a leaf), the prompt, what was written, which of it goes
    on (None: nothing usable), why not, and the judge's word, where it was asked."""

    document: int
    node: str
    level: int
    prompt: str
    written: tuple[str, ...]
    chosen: int | None
    failed: str | None
    judged: JudgedItem | None
    children: tuple[str, ...]

    @property
    def summary(self) -> str | None:
        """What goes on."""
        return None if self.chosen is None else self.written[self.chosen]

    @property
    def item(self) -> JudgeItem:
        """As a judge, or somebody, is shown it."""
        options = [
            Option(id=str(place), content=text, shown_at=place)
            for place, text in enumerate(self.written)
        ]
        return JudgeItem(self.prompt, tuple(options))


def plan_tree(text: str, rules: SummaryRules) -> QuestionTree[str]:
    """A document's tree. Raises DataError for an empty one."""
    return grown(
        chunks(text, rules.chunk_words),
        TOGETHER,
        lambda count: REQUEST if count == 1 else TOGETHER,
        rules.branches,
    )


def summarise(
    trees: Sequence[QuestionTree[str]],
    rules: SummaryRules,
    writer: Writer,
    judge: AiJudge | None,
    seed: int,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, NodeSummary]]:
    """Of each document its nodes, by id: level by level, all documents together. A node none of
    whose children fails is asked; one with a child that has no summary has none."""
    levels = [levels_of(tree) for tree in trees]
    top = max((max(one.values()) for one in levels), default=0)
    done: list[dict[str, NodeSummary]] = [{} for _ in trees]
    for level in range(top + 1):
        begun = [
            _begun(number, tree.nodes[name], level, done[number], rules)
            for number, tree in enumerate(trees)
            for name, of in levels[number].items()
            if of == level
        ]
        for one in _judged(_written(begun, rules, writer, seed), judge):
            done[one.document][one.node] = one
        step(level + 1, top + 1)
    return done


def levels_of(tree: QuestionTree[str]) -> dict[str, int]:
    """Height of every node above its lowest leaf, by id."""
    found: dict[str, int] = {}
    for node in reversed(tree.below(tree.root.id)):
        found[node.id] = 1 + max((found[child] for child in node.children), default=-1)
    return found


def _begun(
    document: int,
    node: TreeNode[str],
    level: int,
    below: dict[str, NodeSummary],
    rules: SummaryRules,
) -> NodeSummary:
    texts, failed = [node.inputs], None
    if node.children:
        summaries = [below[child].summary for child in node.children]
        texts = [text for text in summaries if text is not None]
        missing = len(summaries) - len(texts)
        failed = f"{missing} of its {len(summaries)} parts have no summary" if missing else None
    request = TOGETHER if len(node.children) > 1 else REQUEST
    request = request.format(count=len(node.children), words=rules.summary_words)
    prompt = "\n\n".join([*(text.strip() for text in texts), request])
    return NodeSummary(document, node.id, level, prompt, (), None, failed, None, node.children)


def _written(
    begun: Sequence[NodeSummary], rules: SummaryRules, writer: Writer, seed: int
) -> list[NodeSummary]:
    """With what the writer gives: different texts that ended by themselves."""
    due = [one for one in begun if one.failed is None]
    asked = [[{"role": "user", "content": one.prompt}] for one in due for _ in range(rules.samples)]
    seeds = [
        derive_seed(seed, "summary", one.document, one.node, number)
        for one in due
        for number in range(rules.samples)
    ]
    said = iter(writer.write(asked, seeds))
    found = []
    for one in begun:
        if one.failed is not None:
            found.append(one)
            continue
        texts, failed = dict[str, None](), None
        for _ in range(rules.samples):
            text = usable(next(said), "the summary")
            if isinstance(text, Failure):
                failed = text.reason
            else:
                texts[text.strip()] = None
        chosen = 0 if texts else None
        failed = None if texts else failed
        found.append(replace(one, written=tuple(texts), chosen=chosen, failed=failed))
    return found


def _judged(written: Sequence[NodeSummary], judge: AiJudge | None) -> list[NodeSummary]:
    """With the one that the judge likes better, where there are two; else the first."""
    pairs = [one for one in written if len(one.written) == 2]
    if judge is None or not pairs:
        return list(written)
    said = iter(judge.judge([one.item.shown for one in pairs]))
    found = []
    for one in written:
        verdict = next(said) if len(one.written) == 2 else None
        better = verdict is not None and verdict.value is not None and verdict.value < 0.5
        chosen = 1 if better else one.chosen
        found.append(replace(one, judged=verdict, chosen=chosen))
    return found
