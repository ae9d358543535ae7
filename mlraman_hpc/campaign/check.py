"""`mlraman check` on a campaign: every file looked at, what it costs, and a proposal for ranks, groups and time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mlraman_hpc.base.errors import DataError, UserError
from mlraman_hpc.commands.check import inspect
from mlraman_hpc.config.campaign_deck import COMPUTED, NONE, OWN, SHARED, Campaign, Material
from mlraman_hpc.config.campaign_reader import read_campaign
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.deck_reader import input_files
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.console import NORMAL, VERBOSE, Console, duration
from mlraman_hpc.runtime.session import Session

TRIALS = 60.0  # s, for all trials together, at most one for each material
OVERHEAD, FIGURE = 0.3, 0.7  # s for each material, and for each of its figures
FEW = 20  # materials whose findings are shown
AIM = 15 * 60.0  # s, the wall time that the proposal aims at
MARGIN, ROUND = 1.5, 300.0


@dataclass(frozen=True)
class Cost:
    """Of one material: seconds on one rank, or what is wrong with it; what its files hold, and warnings."""

    name: str
    model: str
    seconds: float
    problem: str = ""
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(session: Session, options) -> None:
    """Look at all files of all materials, ranks sharing them. Raises DataError with all problems."""
    console = Console(session, options.level)
    plan = session.on_root(read_campaign, options.deck, options.changes)
    trial = min(1.0, TRIALS * session.size / len(plan.materials))
    _, alone = session.split(session.size)
    mine = [_cost(plan, material, alone, trial) for material in session.local_share(plan.materials)]
    costs = [cost for part in session.allgather(mine) for cost in part]
    _tell(plan, costs, console)
    console.summary()
    problems = [f"{cost.name}: {cost.problem}" for cost in costs if cost.problem]
    session.raise_if_any(DataError("\n".join(problems)) if problems else None)


class _Silent(Console):
    """Says nothing, and collects warnings: the log of one material is too much for hundreds of them."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, -1)

    def warn(self, text: str) -> None:
        self.warnings[text] = 1


def _cost(plan: Campaign, material: Material, session: Session, trial: float) -> Cost:
    console, seconds, problem = _Silent(session), 0.0, ""
    findings: list[str] = []
    try:
        seconds = inspect(Job(_deck(plan, material), session, console), findings.append, trial)
        seconds += OVERHEAD + FIGURE * _figures(material)
    except UserError as error:
        problem = str(error)
    return Cost(material.name, material.model, seconds, problem, tuple(findings), tuple(console.warnings))


def _figures(material: Material) -> int:
    """Parity; spectrum, polarization, species and central peak; displacements and vibrational densities."""
    raman = material.model != NONE or material.deck.series is not None
    return ((material.model == OWN) + 4 * raman + 2 * (material.deck.dynamics is not None)) * material.deck.figures


def _deck(plan: Campaign, material: Material) -> Deck:
    """The material's deck; where its model is not there yet, with labels, if any, that a trial model is made of."""
    if material.model not in (SHARED, COMPUTED) or Path(material.deck.model.file or "").exists():
        return material.deck
    own = material.deck.model.model_copy(update={"file": None})
    if material.model is COMPUTED:
        return material.deck.model_copy(update={"model": own})
    labelled = material.labels or (plan.together[0].labels if plan.together else plan.common)
    input_files(labelled, "reference.files", labelled.reference.files or [])
    return material.deck.model_copy(update={"reference": labelled.reference, "model": own})


def _tell(plan: Campaign, costs: list[Cost], console: Console) -> None:
    console.say(f"{plan.name}: the deck is valid; {len(costs)} materials")
    width = max(len(cost.name) for cost in costs)
    for cost in costs:
        text = f"cannot be computed: {cost.problem}" if cost.problem else f"about {duration(cost.seconds)} on one rank"
        console.say(f"  {cost.name:<{width}}  model: {cost.model:<6}  {' '.join(text.split())}")
        for line in cost.findings:
            console.say(f"      {line}", NORMAL if len(costs) <= FEW else VERBOSE)
        for line in cost.warnings:
            console.warn(f"{cost.name}: {line}")
    times = [cost.seconds for cost in costs if not cost.problem]
    if times:
        console.say(f"together about {duration(sum(times))} on one rank")
        ranks, groups, wall = proposal(times)
        limit = ROUND * math.ceil(MARGIN * wall / ROUND)
        hours, minutes = divmod(round(limit / 60), 60)
        console.say(
            f"proposal: {ranks} rank{'s' if ranks > 1 else ''} in {groups} group{'s' if groups > 1 else ''} "
            f"(--groups {groups}), about {duration(wall)}; ask for {hours:02d}:{minutes:02d}:00"
        )


def proposal(times: list[float]) -> tuple[int, int, float]:
    """(ranks, groups, wall time in s) for materials that take `times` (s) on one rank.

    Groups of R/G ranks take the largest first, so the wall time is about max(sum/R, largest G/R); G is the largest
    number that leaves it at sum/R.
    """
    total, largest = sum(times), max(times)
    ranks = 1
    while total / ranks > AIM:
        ranks *= 2
    groups = max(1, min(ranks, len(times), int(total / largest)))
    return ranks, groups, max(total / ranks, largest * groups / ranks)
