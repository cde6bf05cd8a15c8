"""Statistics that every room shares, on plain arrays; each idea stands here once.

intervals      values with 95 % intervals: normal, and exact for shares (Clopper and Pearson)
clusters       what prompts say together: means, shares and agreement beyond chance, with intervals
means          estimates of means: clustered by prompt, paired, over seeds; differences
ratios         the ratio of two means of the same units (Fieller)
resampling     units drawn with replacement, and intervals from draws
significance   tests, and what to believe of many (false discoveries)
krippendorff   agreement beyond chance, from categories or from moments
cohen          the same of two raters
populations    normal populations whose widths are learned (empirical Bayes)
calibration    the temperature at which score differences are log-odds

`python -m benchmarks.coverage` measures how often the intervals hold the truth.
"""
