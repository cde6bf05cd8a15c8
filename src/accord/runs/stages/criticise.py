"""A policy's responses criticised in words: critique records for a refine stage, or for a reward
stage's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from accord.errors import RunError
from accord.oversight.constitution import read_constitution
from accord.runs.context import StageContext
from accord.runs.inputs import ConstitutionName, PolicyName, Prompts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.critic_functions import UsesCritics

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.oversight.critics import RuleCritic
    from accord.runs.stages.sampled import SampledRow

CHUNK = 64
FILE = "feedback.jsonl"


class CriticiseConfig(UsesCritics, StageConfig):
    """Settings of a criticise stage."""

    kind: Literal["criticise"]
    model: PolicyName = Field(description="The policy whose responses are criticised.")
    prompts: Prompts = Field(description="Prompts (JSONL with a prompt per row).")
    constitution: ConstitutionName = Field(description="The principles: a file, or accord:NAME.")
    count: int | None = Field(None, ge=1, description="Prompts used, from the top; null: all.")
    max_new_tokens: int = Field(256, ge=1, description="Longest response, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")


class Criticise(Stage):
    """Samples a response per prompt and writes a critique for each principle that it breaks."""

    kind = "criticise"
    Config = CriticiseConfig
    provides: ClassVar = {"feedback": "judgements"}
    about = "a policy's responses criticised in words by functions that mark faults"

    def plan(self, config: CriticiseConfig, context: StageContext) -> Plan:
        from accord.runs.stages import planning

        config.check_critics(read_constitution(config.constitution))
        model = planning.look_at_policy(config.model, context)
        fitting = planning.prompts_that_fit(
            config.prompts, config.count, config.max_new_tokens, model, context, "prompts"
        )
        rows = len(fitting or ()) or config.count or 0
        return Plan(rows=rows or None, tokens=rows * config.max_new_tokens or None)

    def run(self, config: CriticiseConfig, context: StageContext) -> StageResult:
        from accord.feedback.store import write_records
        from accord.models.loading import freeze, load_causal_lm
        from accord.runs.reading import read_prompts
        from accord.runs.stages.sampled import sample_in_chunks
        from accord.sampling.rollout import SamplingSettings

        critic = config.rule_critic(read_constitution(config.constitution))
        model = freeze(load_causal_lm(context.resolve(config.model), context.device))
        rows = sample_in_chunks(
            model,
            read_prompts(config.prompts, context, config.count),
            SamplingSettings(config.max_new_tokens, config.temperature),
            1,
            context,
            CHUNK,
            lambda _, __, texts: [None] * len(texts),
        )
        records = [
            one for n, row in enumerate(rows) for one in critiques(row, n, critic, config.model)
        ]
        if not records:
            raise RunError(
                f"none of {len(rows):,} responses breaks a principle: there is nothing to say",
                "ask for what they do break, or take other prompts",
            )
        write_records(context.folder / FILE, records)
        with_one = len({record.prompt for record in records if isinstance(record.prompt, str)})
        values = {"responses": len(rows), "critiques": len(records), "criticised": with_one}
        told = f"{len(records):,} critiques of {len(rows):,} responses"
        return StageResult(told, values, {"feedback": context.folder / FILE})


def critiques(row: SampledRow, number: int, critic: RuleCritic, producer: str) -> list[Feedback]:
    """What there is to say of a prompt's first response, in the order of the principles."""
    from accord.feedback.records import Feedback, asked_fields
    from accord.oversight.drafts import Criticism, Draft, WrittenText

    text, finished = row["responses"][0], row["finished"][0]
    draft = Draft(number, row["prompt"], WrittenText(text, finished), producer)
    found = critic.critique([(draft, one) for one in critic.principles], [])
    return [
        Feedback.model_validate(
            {
                "id": f"critique-{number}-{principle.id}",
                "kind": "critique",
                **asked_fields(row["prompt"]),
                "options": [
                    {"id": "response", "content": text, "producer": producer, "shown_at": 0}
                ],
                "choice": {
                    "text": said.text,
                    "principle": principle.id,
                    "spans": [span.model_dump() for span in said.spans],
                },
                "annotator": critic.name,
                "guideline": critic.constitution.guideline,
                "meta": {"finished": finished},
            }
        )
        for principle, said in zip(critic.principles, found, strict=True)
        if isinstance(said, Criticism) and said.violates
    ]
