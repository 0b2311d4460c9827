"""The edge of stability: information, no fault."""

from __future__ import annotations

from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Watched

NEAR = 0.2
"""How near to the edge counts as at it (Cohen and others, 2021, 2022)."""


class EdgeOfStability(Symptom):
    """The largest curvature is where steps of the optimizer begin to grow: the rate sets the curvature."""

    name = "edge_of_stability"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return information where the largest curvature is within 20 % of the edge."""
        found = watched.sharpness
        if found is None or not abs(found.ratio - 1) <= NEAR:
            return []
        error = found.value.stderr * found.edge.lr
        value = found.value.value * found.edge.lr
        statistic = Statistic("lr × largest curvature", value, error)
        words = f"The edge of {found.edge.name} is at {found.edge.threshold:g}; the rate sets the curvature."
        return [Verdict(self.name, statistic, kind="information", status="confirmed", words=words)]
