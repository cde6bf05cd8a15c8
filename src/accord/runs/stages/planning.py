"""What stages share when they plan: looking at models, reading data as the run will, and adding up
what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar, Unpack

from accord.errors import ConfigError, DataError
from accord.runs import estimate
from accord.runs.context import NotYet, StageContext
from accord.runs.estimate import TokenWork
from accord.runs.inputs import REFERENCE, stage_of
from accord.runs.known import check_trainable, known_model
from accord.runs.plan import KnownModel, Plan
from accord.runs.reading import PromptRow, planned_rows, read_prompt_rows, read_prompts
from accord.runs.stages.settings import (
    CheckpointConfig,
    EvaluationConfig,
    LengthConfig,
    LoraConfig,
    TuningConfig,
    assumed,
)

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSpec
    from accord.text.language import Language

T = TypeVar("T")


class Trains(Protocol):
    """What a plan needs of the settings of a stage that trains."""

    @property
    def lora(self) -> LoraConfig | None: ...
    @property
    def micro_batch_tokens(self) -> int: ...
    @property
    def checkpoints(self) -> CheckpointConfig: ...


class KnownOfPlan(TypedDict, total=False):
    """What a stage knows of its plan beside what it costs, see `Plan`."""

    rows: int | None
    steps: int | None
    cut: int
    dropped: dict[str, int]
    example: str | None
    notes: list[str]
    models: dict[str, KnownModel]


def look_at_policy(
    reference: str,
    context: StageContext,
    lora: LoraConfig | None = None,
    trains: bool = False,
    merges: bool = False,
) -> KnownModel:
    """The model a stage starts from. Raises ConfigError where it is none, or could not be trained
    or saved as asked."""
    with context.about("model"):
        model = known_model(reference, "policy", context)
        if trains:
            check_trainable(model, lora, merges)
    return model


def look_at_tuned(config: TuningConfig, context: StageContext) -> KnownModel:
    """The policy that a stage tunes. Raises what tuning or examining it would meet."""
    model = look_at_policy(config.model, context, config.lora, trains=True)
    check_evaluation(config.evaluate, model, context)
    return model


def check_reference(reference: str | None, context: StageContext) -> None:
    """Raise ConfigError where it is no policy, or one with an adapter, which a reference has
    switched off."""
    if reference is None:
        return
    with context.about("reference"):
        if known_model(reference, "policy", context).adapter:
            raise ConfigError(
                f"{reference!r} is an adapter, and a reference is a plain model",
                "name the model that it was put on, or what an sft stage leaves, which is merged",
            )


def tuned(config: Trains, model: KnownModel, context: StageContext) -> dict[str, KnownModel]:
    """The models that a stage leaves which tunes a policy: with an adapter, where it started from
    one or adds one."""
    adapter = model.adapter or config.lora is not None
    return {"model": model.left_by(context.name, adapter=adapter)}


def rehearse(read: Callable[[Language], T], model: KnownModel) -> T | None:
    """What the run will read; None where the data or the model's tokenizer is not there yet."""
    if model.language is None:
        return None
    try:
        return read(model.language)
    except NotYet:
        return None


def prompts_that_fit(
    spec: DataSpec,
    count: int | None,
    max_new_tokens: int,
    model: KnownModel,
    context: StageContext,
    setting: str,
    used: Callable[[str], bool] = lambda column: False,
) -> list[tuple[list[int], PromptRow]] | None:
    """(token ids, prompt with the columns `used`) of the prompts that are there. Raises DataError
    for one that leaves no room for a response."""

    def read(language: Language) -> list[tuple[list[int], PromptRow]]:
        encoder = context.encoder(language)
        with context.about(setting):
            prompts = [
                (encoder.prompt(row.prompt, str(n)), row)
                for n, row in enumerate(read_prompt_rows(spec, context, count, used), 1)
            ]
            check_room(
                ((str(n), len(ids)) for n, (ids, _) in enumerate(prompts, 1)),
                max_new_tokens,
                language.context,
            )
        return prompts

    if model.language is None:
        open_prompts(spec, count, context, setting)
    return rehearse(read, model)


def open_prompts(spec: DataSpec, count: int | None, context: StageContext, setting: str) -> None:
    """Read them, where nothing can be told in tokens yet."""
    try:
        with context.about(setting):
            read_prompts(spec, context, count)
    except NotYet:
        return


def check_room(prompts: Iterable[tuple[str, int]], max_new_tokens: int, longest: int) -> None:
    """Raise DataError for (row, tokens) of a prompt that would exceed the context before its
    response ends."""
    for row, tokens in prompts:
        if tokens + max_new_tokens > longest:
            raise DataError(
                f"prompt {row} has {tokens:,} tokens; with max_new_tokens = {max_new_tokens:,} that"
                f" is more than the model's context of {longest:,}",
                (
                    f"lower max_new_tokens to {longest - tokens:,}, or leave the prompt out"
                    if longest > tokens
                    else "shorten the prompt or leave it out"
                ),
            )


def check_evaluation(
    config: EvaluationConfig | None, model: KnownModel, context: StageContext
) -> None:
    """Raise what an examination of a policy would meet: its prompts are read and measured against
    the context."""
    if config is not None:
        prompts_that_fit(
            config.prompts, config.count, config.max_new_tokens, model, context, "evaluate.prompts"
        )


def whole(part: int, context: StageContext) -> int:
    """`part`, found in the rows that were looked at, scaled to all rows."""
    return round(part * context.scale)


def sampled_note(context: StageContext) -> list[str]:
    """Which data was only looked at in part."""
    return [
        f"{name}: looked at {read:,} of {'about ' if guessed else ''}{total:,} rows, the others are"
        " taken to be alike"
        for name, (read, total, guessed) in context.looked_at.items()
        if total > read
    ]


def found_in_data(context: StageContext) -> KnownOfPlan:
    """Of a plan: what became of the rows, one decoded example."""
    if not context.tables:
        return {}
    table = context.tables[-1]
    return {
        "cut": whole(table.cut, context),
        "example": table.example,
        "dropped": {reason: whole(count, context) for reason, count in table.dropped.items()},
    }


def judged_prompts(
    reference: DataSpec, limit: int | None, lengths: LengthConfig, context: StageContext
) -> tuple[int, int]:
    """(prompts, most tokens of one pass over them and their judged responses) of what an earlier
    stage will collect; (0, 0) where it cannot be told."""
    if not isinstance(reference, str) or not reference.startswith(REFERENCE):
        return 0, 0
    plan = context.planned.get(stage_of(reference)[0])
    rows = planned_rows(reference, context) or 0
    prompts = plan.sizes.get("prompts", rows) if plan else 0
    responses = plan.sizes.get("responses", 2 * prompts) if plan else 0
    share = min(1.0, limit / prompts) if limit and prompts else 1.0
    tokens = prompts * assumed(lengths.max_prompt_tokens)
    tokens += responses * assumed(lengths.max_response_tokens)
    return round(prompts * share), round(tokens * share)


def training_plan(
    config: Trains,
    model: KnownModel,
    context: StageContext,
    work: TokenWork,
    least: TokenWork | None = None,
    trained: int = 1,
    frozen: int = 0,
    **known: Unpack[KnownOfPlan],
) -> Plan:
    """The plan of a stage that trains `trained` models beside `frozen` ones; unknown sizes leave
    gaps.

    work: most tokens; least: fewest, where they differ.
    """
    notes = [*known.get("notes", ()), *([model.note] if model.note else ()), *sampled_note(context)]
    known = {**found_in_data(context), **known, "notes": notes}
    if model.size is None or not work.tokens:
        return Plan(tokens=work.tokens or None, **known)
    lora = config.lora is not None
    return Plan(
        tokens=work.tokens,
        seconds=estimate.span(least or work, work, context.speed(model, lora)),
        memory_mib=estimate.memory_mib(
            model.size, trained, frozen, config.micro_batch_tokens, lora
        ),
        disk_mib=estimate.disk_mib(model.size, trained, config.checkpoints.keep, lora),
        **known,
    )


def least(work: TokenWork, read: object | None) -> TokenWork:
    """Fewest tokens: of data that was `read` they are counted, of data to come only the limits are
    known."""
    return work if read is not None else work.times(estimate.SHORTEST)


def lengths_of(ids: Sequence[Sequence[int]]) -> int:
    """Tokens in all."""
    return sum(map(len, ids))
