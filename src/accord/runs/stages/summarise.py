"""Long documents summarised as trees by any model, with comparisons at the nodes and paths for an
audit (Wu et al. 2021)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from accord.errors import DataError, RunError, by_reason
from accord.files import write_jsonl
from accord.oversight.summaries import (
    NodeSummary,
    SummaryRules,
    levels_of,
    plan_tree,
    summarise,
)
from accord.oversight.trees import QuestionTree, catch_probability
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import Texts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.asking import AskingConfig, check_askable
from accord.sampling.addresses import is_remote
from accord.sampling.budget import AROUND, Cost
from accord.seeds import derive_seed, generator

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.oversight.ai_judge import AiJudge
    from accord.sampling.asking import AskingSettings

TOKENS_PER_WORD = 1.4
"""Of English in usual vocabularies."""


class SummariseConfig(StageConfig):
    """Settings of a summarise stage."""

    kind: Literal["summarise"]
    data: Texts = Field(description="Documents: rows with a text each.")
    writer: str = Field(
        description="Who summarises: an address https://host/v1#model, or a model on this machine."
    )
    judge: str | None = Field(
        None,
        description="Who compares two summaries of a node: an address or a model; null: the first"
        " goes on.",
    )
    limit: int | None = Field(None, ge=1, description="Documents used, from the top; null: all.")
    chunk_words: int = Field(600, ge=5, description="Words of a chunk at most.")
    branches: int = Field(6, ge=2, le=64, description="Summaries that one node puts together.")
    summary_words: int = Field(120, ge=3, description="Words of a summary that are asked for.")
    summary_tokens: int = Field(
        400, ge=4, description="Limit of a summary, in tokens; one that is cut there is none."
    )
    temperature: float = Field(0.7, ge=0, le=2, description="Of summaries.")
    paths: int = Field(
        4, ge=1, description="Paths from the root to a leaf that are drawn for an audit, each of a"
        " document of its own while there are enough.",
    )  # fmt: skip
    liars: int = Field(
        1, ge=1, description="Wrong leaves of a document for which the chance to meet one is told."
    )
    most_failed: float = Field(
        0.05, ge=0, le=1, description="Share of the nodes that may end without a summary."
    )
    asking: AskingConfig = Field(AskingConfig(), description="What endpoints may cost.")

    @property
    def rules(self) -> SummaryRules:
        """Two summaries at a node where somebody compares them."""
        samples = 1 if self.judge is None else 2
        return SummaryRules(self.chunk_words, self.branches, self.summary_words, samples)

    @property
    def models(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(name for name in (self.writer, self.judge) if name))


class Summarise(Stage):
    """Leaves every node as a demonstration, the comparisons of leaves and of inner nodes apart, for
    a reward model per level, the documents' summaries, and nodes for an audit."""

    kind = "summarise"
    Config = SummariseConfig
    provides: ClassVar = {
        "summaries": "demonstrations",
        "nodes": "demonstrations",
        "leaves": "judgements",
        "inner": "judgements",
        "audit": None,
    }
    about = "long documents summarised as trees, nodes compared, paths drawn for an audit"

    def plan(self, config: SummariseConfig, context: StageContext) -> Plan:
        check_askable(config.models, context)
        try:
            trees = [plan_tree(text, config.rules) for text in _documents(config, context)]
        except NotYet:
            return Plan(notes=["what it costs is known once the documents are"])
        nodes = sum(len(tree.nodes) for tree in trees)
        most = {name: _cost(config, trees, name) for name in filter(is_remote, config.models)}
        notes = [f"{len(trees):,} documents, {nodes:,} nodes", *config.asking.notes(most)]
        sizes = {"summaries": len(trees), "nodes": nodes}
        return Plan(rows=len(trees), notes=notes, sizes=sizes)

    def run(self, config: SummariseConfig, context: StageContext) -> StageResult:
        trees = [plan_tree(text, config.rules) for text in _documents(config, context)]
        shared = config.asking.settings(context)
        with config.asking.within_budget(context):
            writer = config.asking.writers([config.writer], config.temperature, context, shared)(
                config.writer, config.summary_tokens
            )
            judge = None if config.judge is None else _judge(config, shared, context)
            done = summarise(
                trees,
                config.rules,
                writer,
                judge,
                derive_seed(context.seed, "summarise"),
                lambda level, levels: context.checkpoint(level, levels, "levels"),
            )
        return _leave(done, trees, writer.name, judge, config, context)


def _documents(config: SummariseConfig, context: StageContext) -> list[str]:
    from accord.feedback.formats.reading import read_rows

    with context.about("data"):
        found = []
        for place, row in read_rows(context.data(config.data)).rows[: config.limit]:
            text = row.get("text")
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"{place}: text is {text!r:.60}", 'give rows like {"text": "..."}')
            found.append(text)
    return found


def _judge(config: SummariseConfig, shared: AskingSettings, context: StageContext) -> AiJudge:
    from accord.oversight.ai_judge import AiJudge
    from accord.oversight.judge_questions import usual_template

    name = str(config.judge)
    answers = config.asking.judges([name], context, shared)
    return AiJudge(name, answers[name], usual_template("pairwise", by_principle=False))


def _cost(config: SummariseConfig, trees: Sequence[QuestionTree[str]], name: str) -> Cost:
    """What an endpoint is asked, where every text is as long as is allowed."""
    cost, samples = Cost(), config.rules.samples
    for tree in trees:
        for node in tree.nodes.values():
            read = len(node.inputs.split()) * TOKENS_PER_WORD + AROUND + 40
            read += len(node.children) * config.summary_tokens
            if name == config.writer:
                cost += Cost(samples, samples * read, samples * config.summary_tokens)
            if name == config.judge:
                cost += Cost(2, 2 * (read + 2 * config.summary_tokens + 60), 32)
    return cost


def _leave(
    done: Sequence[Mapping[str, NodeSummary]],
    trees: Sequence[QuestionTree[str]],
    writer: str,
    judge: AiJudge | None,
    config: SummariseConfig,
    context: StageContext,
) -> StageResult:
    from accord.feedback.store import write_records
    from accord.oversight.judge_records import records_of

    nodes = [one for document in done for one in document.values()]
    made = [one for one in nodes if one.summary is not None]
    failed = Counter(one.failed for one in nodes if one.failed is not None)
    roots = [document[tree.root.id] for document, tree in zip(done, trees, strict=True)]
    compared: list[tuple[int, Feedback]] = []
    if judge is not None:
        for one in made:
            if one.judged is not None:
                for record in records_of(one.item, one.judged, judge, None):
                    meta = record.meta | {"node": _about(one)}
                    compared.append((one.level, record.model_copy(update={"meta": meta})))
    paths = {name: context.folder / f"{name}.jsonl" for name in Summarise.provides}
    whole = [one for one in roots if one.summary is not None]
    write_records(paths["summaries"], [_written(one, writer) for one in whole])
    write_records(paths["nodes"], [_written(one, writer) for one in made])
    write_records(paths["leaves"], [record for level, record in compared if level == 0])
    write_records(paths["inner"], [record for level, record in compared if level > 0])
    audited = _audit(done, trees, config, context)
    write_jsonl(paths["audit"], audited)
    values: dict[str, Value] = {
        "documents": len(roots), "summaries": len(whole), "nodes": len(nodes),
        "levels": 1 + max(max(levels_of(tree).values()) for tree in trees),
        "failed": len(nodes) - len(made), "leaves_compared": sum(n == 0 for n, _ in compared),
        "inner_compared": sum(n > 0 for n, _ in compared), "audited": len(audited),
    }  # fmt: skip
    undecided = sum(one.judged is not None and one.judged.value is None for one in made)
    if undecided:
        context.say(f"{undecided:,} nodes were not decided: the first summary went on")
    if failed:
        context.say(f"nodes without a summary: {by_reason(failed)}")
    leaves = len(max(trees, key=lambda tree: len(tree.leaves)).leaves)
    liars = min(config.liars, leaves)
    chance = catch_probability(leaves, liars, 1)
    context.say(
        f"{len(audited):,} nodes on {config.paths:,} paths for an audit; a path meets one of"
        f" {liars} wrong leaves of {leaves} (the longest document) with {chance:.0%}"
    )
    if len(nodes) - len(made) > config.most_failed * len(nodes):
        raise RunError(
            f"{len(nodes) - len(made):,} of {len(nodes):,} nodes have no summary, more than"
            f" {config.most_failed:.0%} are allowed: {by_reason(failed)}",
            "see nodes.jsonl in the stage's folder; raise summary_tokens or most_failed",
        )
    summary = f"{len(whole):,} of {len(roots):,} documents, {len(nodes):,} nodes"
    summary += f", {len(compared):,} compared" if judge is not None else ""
    return StageResult(summary, values, paths)


def _about(one: NodeSummary) -> dict[str, Any]:
    return {
        "document": one.document, "id": one.node, "level": one.level,
        "children": list(one.children),
    }  # fmt: skip


def _written(one: NodeSummary, writer: str) -> Feedback:
    from accord.feedback.records import Demonstration, Feedback, content_id

    assert one.summary is not None
    return Feedback(
        id=content_id(one.document, one.node, one.prompt, one.summary),
        kind="demonstration",
        prompt=one.prompt,
        options=[],
        choice=Demonstration(content=one.summary),
        annotator=writer,
        session=f"document-{one.document}",
        meta={"node": _about(one)},
    )


def _audit(
    done: Sequence[Mapping[str, NodeSummary]],
    trees: Sequence[QuestionTree[str]],
    config: SummariseConfig,
    context: StageContext,
) -> list[dict[str, Any]]:
    """Items of a project (thumb, flags, rating): every node on the paths, root first, each once;
    who looks at one reads that node alone."""
    rng = generator(context.seed, "audit")
    order = rng.permutation(len(trees)).tolist()
    met: dict[tuple[int, str], NodeSummary] = {}
    for number in range(config.paths):
        document = order[number % len(order)]
        leaves = trees[document].leaves
        leaf = leaves[int(rng.integers(len(leaves)))]
        for node in trees[document].path(leaf.id):
            met[document, node.id] = done[document][node.id]
    return [
        {"prompt": one.prompt, "options": [one.summary], "meta": {"node": _about(one)}}
        for one in met.values()
        if one.summary is not None
    ]
