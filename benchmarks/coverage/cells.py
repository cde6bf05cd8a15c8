"""Imports every module that adds cells to the registry."""

import benchmarks.coverage.agreement
import benchmarks.coverage.annotators
import benchmarks.coverage.assistance
import benchmarks.coverage.crowds
import benchmarks.coverage.dependent
import benchmarks.coverage.judges
import benchmarks.coverage.means
import benchmarks.coverage.rewards
import benchmarks.coverage.scales
import benchmarks.coverage.silence  # noqa: F401
