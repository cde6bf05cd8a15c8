"""How often the intervals that the product prints hold the truth, on simulated data.

    python -m benchmarks.coverage                        every cell, 1,000 simulations each
    python -m benchmarks.coverage --only "win rate"      the cells whose name begins so
    python -m benchmarks.coverage --out benchmarks/coverage/measured.json --docs docs/coverage.md

registry     what a cell is, and how it is measured and judged
crowds       cells of scores of producers, and of what is estimated about annotators
agreement    cells of agreement, alpha, kappa
means        cells of means, shares, differences, win rates, best-of-n
dependent    cells of what votes of one prompt say together: position, drift, groups
scales       cells of how annotators use a rating scale
cells        imports the modules of cells: a new one is named there, and adds its cells by
             `registry.add` when it is imported
"""
