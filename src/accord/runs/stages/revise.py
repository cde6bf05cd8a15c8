"""A policy's responses criticised by the principles of a constitution and revised, round by round:
demonstrations for supervised constitutional AI (Bai et al. 2022), and the records of every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import RunError
from accord.oversight.chains import Chains, CritiqueChain
from accord.oversight.constitution import Constitution, read_constitution
from accord.oversight.drafts import Critic, Draft, Reviser, WrittenText
from accord.oversight.revisers import RULE, RevisionRules
from accord.runs.context import StageContext
from accord.runs.inputs import ConstitutionName, PolicyName, Prompts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.asking import AskingConfig, check_askable
from accord.runs.stages.critic_functions import UsesCritics
from accord.sampling.addresses import is_remote
from accord.sampling.budget import Cost
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.text.chats import Prompt

CHUNK = 32
"""Prompts whose chains are on disk together."""
PRESENTED_TOKENS = 150
"""Of a question: a prompt and what is asked with a principle, roughly."""
FIRST, LOG = "first.jsonl", "chains.jsonl"


class ReviseConfig(UsesCritics, StageConfig):
    """Settings of a revise stage."""

    kind: Literal["revise"]
    constitution: ConstitutionName = Field(
        description="The principles: a file, or accord:NAME (accord constitution show)."
    )
    model: PolicyName = Field(description="The model whose responses are revised.")
    prompts: Prompts = Field(description="Prompts (JSONL with a prompt per row).")
    count: int | None = Field(None, ge=1, description="Prompts used, from the top; null: all.")
    rounds: int = Field(
        2, ge=1, le=16, description="Critiques and revisions of each response, one after another."
    )
    max_new_tokens: int = Field(256, ge=1, description="Limit of the first response, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Of responses and of samples of them.")
    critic: str | None = Field(
        None,
        description=(
            "The model that criticises, where no functions do: an address https://host/v1#model, or"
            " a model on this machine."
        ),
    )
    reviser: str | None = Field(
        None, description="The model that rewrites: an address, or a model on this machine."
    )
    samples: int | None = Field(
        None,
        ge=2,
        description=(
            "In place of a reviser: of so many samples of the model to the same prompt the one that"
            " breaks the principle in the fewest places, then all principles."
        ),
    )
    critique_tokens: int = Field(256, ge=1, description="Limit of a critique, in tokens.")
    revision_tokens: int = Field(512, ge=1, description="Limit of a revision, in tokens.")
    asked_temperature: float = Field(0.7, ge=0, description="Of models that criticise and rewrite.")
    rules: RevisionRules = Field(
        RevisionRules(), description="Which texts of a reviser count as revisions."
    )
    most_failed: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the rounds that may end without a usable critique or revision.",
    )
    asking: AskingConfig = Field(AskingConfig(), description="What endpoints may cost.")

    @model_validator(mode="after")
    def _who_does_what(self) -> ReviseConfig:
        if bool(self.critics) == (self.critic is not None):
            raise ValueError(
                "name who criticises: critics (functions, by principle) or critic (a model)"
            )
        if (self.samples is None) == (self.reviser is None):
            raise ValueError("name what revises: reviser (a model), or samples (how many)")
        if self.samples is not None and not self.critics:
            raise ValueError("the best of samples is chosen by critics (functions, by principle)")
        return self

    @property
    def asked(self) -> list[str]:
        """Models that are asked, each once."""
        return list(dict.fromkeys(name for name in (self.critic, self.reviser) if name))


class Revise(Stage):
    """Samples responses, lets each be criticised and revised, and leaves every step as a record,
    the last revisions as demonstrations, and the unrevised responses beside them."""

    kind = "revise"
    Config = ReviseConfig
    provides: ClassVar = {
        "demonstrations": "demonstrations",
        "unrevised": "demonstrations",
        "feedback": "judgements",
    }
    about = "a policy's responses criticised by a constitution's principles, and revised"

    def plan(self, config: ReviseConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import SHORTEST, TokenWork, span
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning

        constitution = read_constitution(config.constitution)
        if config.critics:
            config.check_critics(constitution)
        check_askable(config.asked, context)
        model = planning.look_at_policy(config.model, context)
        fitting = planning.prompts_that_fit(
            config.prompts, config.count, config.max_new_tokens, model, context, "prompts"
        )
        rows = len(fitting) if fitting is not None else planned_rows(config.prompts, context)
        prompts = min(filter(None, (rows, config.count)), default=0)
        tokens = prompts * config.max_new_tokens * (1 + config.rounds * (config.samples or 0))
        work, least = TokenWork(sampled=tokens), TokenWork(sampled=prompts * config.max_new_tokens)
        return Plan(
            rows=prompts or None,
            tokens=tokens or None,
            seconds=span(least.times(SHORTEST), work, context.speed(model)),
            sizes=dict.fromkeys(self.provides, prompts) if prompts else {},
            notes=_notes(config, constitution, prompts),
        )

    def run(self, config: ReviseConfig, context: StageContext) -> StageResult:
        from accord.models.loading import freeze, load_causal_lm
        from accord.runs.stages.revised import leave

        constitution = read_constitution(config.constitution)
        for line in _notes(config, constitution, 0):
            context.say(line)
        model = freeze(load_causal_lm(context.resolve(config.model), context.device))
        drafts = _first_drafts(model, config, context)
        critic, reviser = _people(config, constitution, model, context)
        chains = Chains(constitution, critic, reviser, config.rules, config.rounds, context.seed)
        with config.asking.within_budget(context):
            done = _run(chains, drafts, config, context)
        rule_critic = config.rule_critic(constitution) if config.critics else None
        return leave(done, rule_critic, context)


def _notes(config: ReviseConfig, constitution: Constitution, prompts: int) -> list[str]:
    """What the plan and the run say of it."""
    notes = [f"{config.constitution}: {constitution.guideline}, {config.rounds} rounds"]
    if config.rules.preambles == "remove":
        notes.append(f"preambles of revisions are removed: {RULE}")
    return [*notes, *config.asking.notes(_most(config, prompts))] if prompts else notes


def _most(config: ReviseConfig, prompts: int) -> dict[str, Cost]:
    """What calls to each endpoint take where every text is as long as is allowed."""
    draft = PRESENTED_TOKENS + max(config.max_new_tokens, config.revision_tokens)
    again = draft + config.critique_tokens
    asked = [
        (config.critic, Cost(1, draft, config.critique_tokens)),
        (config.reviser, Cost(1, again, config.revision_tokens)),
    ]
    most: dict[str, Cost] = {}
    for name, cost in asked:
        if name is not None and is_remote(name):
            most[name] = most.get(name, Cost()) + cost.times(prompts * config.rounds)
    return most


def _first_drafts(model: CausalLM, config: ReviseConfig, context: StageContext) -> list[Draft]:
    """A response of the model to each prompt."""
    from accord.runs.reading import read_prompts
    from accord.runs.stages.sampled import sample_in_chunks

    prompts = read_prompts(config.prompts, context, config.count)
    settings = SamplingSettings(config.max_new_tokens, config.temperature)
    rows = sample_in_chunks(
        model, prompts, settings, 1, context, CHUNK, lambda _, __, texts: [None] * len(texts), FIRST
    )
    return [
        Draft(n, row["prompt"], WrittenText(row["responses"][0], row["finished"][0]), config.model)
        for n, row in enumerate(rows)
    ]


def _people(
    config: ReviseConfig, constitution: Constitution, model: CausalLM, context: StageContext
) -> tuple[Critic, Reviser]:
    """Who criticises, and who revises."""
    from accord.oversight.critics import ModelCritic
    from accord.oversight.revisers import LeastViolating, ModelReviser

    writer = config.asking.writers(config.asked, config.asked_temperature, context)
    rules = config.rule_critic(constitution) if config.critics else None
    critic: Critic = rules or ModelCritic(writer(config.critic or "", config.critique_tokens))
    if config.reviser is not None:
        return critic, ModelReviser(writer(config.reviser, config.revision_tokens))
    assert rules is not None  # the settings see to it
    return critic, LeastViolating(_sampler(model, config, context), rules, config.model)


def _sampler(
    model: CausalLM, config: ReviseConfig, context: StageContext
) -> Callable[[Sequence[Prompt], Sequence[int]], list[list[WrittenText]]]:
    """Of the model itself: `samples` of each prompt."""
    from accord.sampling.builtin import BuiltinSampler

    encoder, sampler = context.encoder(model), BuiltinSampler(model)
    settings, k = SamplingSettings(config.max_new_tokens, config.temperature), config.samples or 1

    def sample(prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[list[WrittenText]]:
        if not prompts:
            return []
        ids = [encoder.prompt(prompt, str(n)) for n, prompt in enumerate(prompts)]
        each = [derive_seed(seed, "sample", place) for seed in seeds for place in range(k)]
        rollout = sampler.sample(ids, settings, each, k)
        found = [
            WrittenText(encoder.text(tokens), finished)
            for tokens, finished in zip(rollout.responses, rollout.finished, strict=True)
        ]
        return [found[n * k : (n + 1) * k] for n in range(len(prompts))]

    return sample


def _run(
    chains: Chains, drafts: Sequence[Draft], config: ReviseConfig, context: StageContext
) -> list[CritiqueChain]:
    """All chains; after each chunk they are on disk. What an earlier try left unanswered is asked
    again. Raises RunError where too many rounds failed."""
    from accord.runs.stages.revised import as_row, from_row

    log = context.log(LOG)
    done = {row["row"]: from_row(row, drafts[row["row"]]) for row in log.rows}
    open_rows = [n for n in range(len(drafts)) if n not in done or done[n].unanswered]
    for start in range(0, len(open_rows), CHUNK):
        part = chains.run([drafts[n] for n in open_rows[start : start + CHUNK]])
        done |= {chain.first.row: chain for chain in part}
        log.append(as_row(chain) for chain in part)
        left = len(open_rows) - start - len(part)
        _refuse_failures(list(done.values()), config, last=not left)
        context.checkpoint(len(drafts) - left, len(drafts), "revising")
    _refuse_failures(list(done.values()), config, last=True)
    return [done[n] for n in range(len(drafts))]


ENOUGH = 40
"""Rounds after which their failures end the stage before its end."""


def _refuse_failures(chains: Sequence[CritiqueChain], config: ReviseConfig, last: bool) -> None:
    from accord.runs.stages.revised import failures

    reasons = failures(chains)
    rounds = sum(len(chain.steps) for chain in chains)
    if (not last and rounds < ENOUGH) or reasons.total() <= config.most_failed * rounds:
        return
    told = "; ".join(f"{count:,}: {reason}" for reason, count in reasons.most_common(3))
    fix = "look at what the models say, or raise most_failed"
    if "preamble" in reasons.most_common(1)[0][0]:
        fix = f"rules: {{preambles: remove}} ({RULE}), or preambles: keep"
    elif "cut" in reasons.most_common(1)[0][0]:
        fix = "raise critique_tokens and revision_tokens"
    raise RunError(
        f"{reasons.total():,} of {rounds:,} rounds failed, more than most_failed ="
        f" {config.most_failed:g} allows: {told}",
        fix,
    )
