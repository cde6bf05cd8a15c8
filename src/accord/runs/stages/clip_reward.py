"""A reward learned from what was said of clips, whoever walked them and whenever it was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from accord.control.clip_reward import ClipRewardSettings
from accord.errors import DataError, by_reason
from accord.feedback.words import counted
from accord.learning.settings import Steps
from accord.report.render import REWARD_CARD
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import ClipJudgements
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.control.clip_reward import ClipReward
    from accord.control.environments import EnvironmentBatch
    from accord.control.judged_clips import JudgedClips
    from accord.feedback.records import Feedback

REWARD = "reward.safetensors"
PACE = (40, 400)
"""Updates per second that a reward takes at least and at most."""


class ClipSource(Settings):
    """Judgements, and the episodes that their clips lie in."""

    feedback: ClipJudgements = Field(
        description="Records about clips: stage:NAME/feedback, or a file in any known format."
    )
    episodes: str = Field(
        min_length=1,
        description=(
            "Folder of the episodes: stage:NAME/episodes, a run's, or one that accord control"
            " record, import, take-over or steer wrote."
        ),
    )


class ClipRewardConfig(StageConfig):
    """Settings of a clip_reward stage."""

    kind: Literal["clip_reward"]
    sources: list[ClipSource] = Field(
        min_length=1, description="Where judgements and episodes are, all of one environment."
    )
    absorb: bool = Field(
        False,
        description="Do episodes that ended stay as they are until their time is over, as with"
        " horizon: absorb?",
    )
    reward: ClipRewardSettings = Field(
        default_factory=ClipRewardSettings, description="The reward model."
    )
    updates: Steps = Field(
        1200, ge=1, description="Updates, in place of the reward's first_steps and round_steps."
    )


class RewardOfClips(Stage):
    """The reward of `learn_from_clips` without a policy: from comparisons, rankings, ratings,
    stops, corrections, demonstrations, and what was written, found or said alike."""

    kind = "clip_reward"
    Config = ClipRewardConfig
    provides: ClassVar = {"reward": None, "card": "card of a reward model"}
    about = "a reward learned from judgements of clips that are there already"

    def plan(self, config: ClipRewardConfig, context: StageContext) -> Plan:
        rows, notes = None, list[str]()
        with suppress(NotYet):
            read = _read(config, context)
            rows = len(read.judged)
            notes = [f"{read.environments.name}: {read.told}"]
        return Plan(
            rows=rows,
            steps=config.updates,
            disk_mib=1,
            seconds=(config.updates / PACE[1], config.updates / PACE[0]),
            notes=notes,
        )

    def run(self, config: ClipRewardConfig, context: StageContext) -> StageResult:
        from accord.control.networks import one_thread
        from accord.control.saving import save_arrays, saved_head
        from accord.runs.stages.clip_card import leave_card

        read = _read(config, context)
        context.say(read.told)
        reward, judged = read.reward, read.judged
        judged.tell_uneven(context.say)
        with one_thread():
            reward.begin_unsure(judged)
            told = reward.learn(judged, config.updates)
            if judged.uneven and not config.absorb:
                reward.keep_zero()
            else:
                reward.settle(judged.ends_BI)
            right, pairs = reward.orders(judged)
            values: dict[str, Value] = {"judgements": len(judged), **told}
            values |= {"pairs": pairs, "pairs_right": right}
            values["left_out"] = sum(read.left.values())
            values |= leave_card(context, reward, judged)
        head = saved_head(
            "reward", read.environments, "clip_reward", config.reward, {"asked": len(judged)}
        )
        save_arrays(context.folder / REWARD, reward.arrays(), head)
        made = {"reward": context.folder / REWARD, "card": context.folder / REWARD_CARD}
        held_out = values.get("heldout_accuracy")
        known = (
            "too few are held out to say how well"
            if held_out is None
            else f"{held_out:.1%} of {values['card_pairs']:,} pairs held out are ordered as judged"
        )
        learned = _learned(right, pairs)
        context.say(learned)
        return StageResult(
            f"{read.told}; {learned}; {known}",
            values,
            {name: at for name, at in made.items() if at.exists()},
        )


def _learned(right: int, pairs: int) -> str:
    """How much of what was judged the reward says again, in words."""
    if not pairs:
        return "nothing judged orders two clips"
    poor = " (it did NOT learn what was judged: use more updates)" if 2 * right <= pairs else ""
    return f"of {counted(pairs, 'judged pair')} the reward orders {right:,} as judged{poor}"


@dataclass(frozen=True)
class _Read:
    """left: records that teach nothing, by reason; kinds: how many records there are of each."""

    environments: EnvironmentBatch
    reward: ClipReward
    judged: JudgedClips
    left: dict[str, int]
    kinds: dict[str, int]

    @property
    def told(self) -> str:
        """What there is to learn from, in words."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.items())
        left = "".join(f"; {count:,} left out: {why}" for why, count in self.left.items())
        return f"{counted(len(self.judged), 'judgement')} of clips ({kinds}){left}"


def _read(config: ClipRewardConfig, context: StageContext) -> _Read:
    """All sources. Raises NotYet where one is still to be made, DataError where nothing teaches."""
    from accord.control.clip_reward import ClipReward, member_seed
    from accord.control.clip_sources import ClipSources, store_folder
    from accord.control.making import make
    from accord.control.reading_clips import environment_of, judged_clips, split
    from accord.runs.reading import read_records

    folders = []
    for number, source in enumerate(config.sources):
        with context.about(f"sources.{number}.episodes"):
            folders.append(store_folder(context.path(source.episodes)))
    stores = ClipSources(folders)
    records: list[Feedback] = []
    for number, source in enumerate(config.sources):
        with context.about(f"sources.{number}.feedback"):
            records += stores.of_source(number, read_records(source.feedback, context).records)
    environment = environment_of(records, stores)
    if environment is None:
        raise _nothing(records, split(records)[1])
    environments = make(environment, 1)
    size, form = environments.observation_size, environments.actions
    reward = ClipReward(config.reward, size, form, member_seed(context.seed), config.absorb)
    judged, left = judged_clips(records, stores, reward)
    if judged is None:
        raise _nothing(records, left)
    reward.fix_scale(judged.steps_BI)
    kinds = Counter(record.meta.get("grounds", record.kind) for record in records)
    return _Read(environments, reward, judged, left, dict(kinds))


def _nothing(records: Sequence[Feedback], left: Mapping[str, int]) -> DataError:
    """left: all of the records, by reason."""
    return DataError(
        f"none of {len(records):,} records teaches a reward: {by_reason(left)}",
        "name judgements that choose among clips, or rate them",
    )
