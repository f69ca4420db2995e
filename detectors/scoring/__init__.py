"""Scoring: alerts against what really happened, as an operator would count.

Receives truth and alert lines, the network and how long how many meters were watched; hands on
one `Score`. Pure functions: files, tables on a terminal and pages belong to the caller.
"""

from detectors.scoring.baselines import random_alerts, threshold_alerts
from detectors.scoring.compare import Difference, compare
from detectors.scoring.lines import AlertLine, TruthLine, read_alerts, read_truth
from detectors.scoring.matching import Matching, match
from detectors.scoring.places import Places
from detectors.scoring.report import Exposure, Score, ScoreSettings, score

__all__ = [
    "AlertLine",
    "Difference",
    "Exposure",
    "Matching",
    "Places",
    "Score",
    "ScoreSettings",
    "TruthLine",
    "compare",
    "match",
    "random_alerts",
    "read_alerts",
    "read_truth",
    "score",
    "threshold_alerts",
]
