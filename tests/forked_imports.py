"""What `accord run` imports by and by, imported where processes are forked from."""

from __future__ import annotations

import gc
from importlib import import_module, util

from accord.runs import environment

environment.prepare(1)  # before torch

from accord.runs import registry  # noqa: E402

for _kind in registry.kinds():
    registry.find(_kind)
for _name in (
    "accord.cli.plans",
    "accord.cli.progress",
    "accord.cli.run",
    "accord.models.tuning",
    "accord.report.render",
    "accord.runs.loop",
    "accord.runs.runner",
    "accord.runs.study",
    "accord.text.gold",
    "transformers",
):
    import_module(_name)
for _name in ("sklearn.feature_extraction.text", "sklearn.linear_model"):
    if util.find_spec("sklearn"):
        import_module(_name)

gc.collect()
gc.freeze()  # else every process forked from here walks through all of it
