"""Statistics that every room shares, on plain arrays; each idea stands here once.

intervals      values with 95 % intervals: normal, shares (Wilson; Clopper and Pearson)
means          means with standard errors: clustered by prompt, paired, Student's over seeds
resampling     the bootstrap over groups, and intervals from draws
significance   what to believe of many tests (false discoveries)
krippendorff   agreement beyond chance, from categories or from moments
populations    normal populations whose widths are learned (empirical Bayes)
calibration    the temperature at which score differences are log-odds
"""
