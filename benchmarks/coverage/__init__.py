"""How often the intervals that the product prints hold the truth, on simulated data.

    python -m benchmarks.coverage                        every cell, 1,000 simulations each
    python -m benchmarks.coverage --only "win rate"      the cells whose name begins so
    python -m benchmarks.coverage --out measured.json --docs docs/coverage.md

registry     what a cell is, and how it is measured and judged
crowds       cells of scores of producers, and of what is estimated about annotators
means        cells of means and shares over prompts

A module adds cells by calling `registry.add` when it is imported; `__main__` imports them all.
"""
