"""The command line: a table of sub-commands. A task is imported only when it is called.

Exit codes: 0 done, 1 a bug of ours, 2 the deck, the command line or the launcher, 3 the data, 75 stopped early on
request or before the time limit.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import sys
from dataclasses import dataclass

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DeckError, StoppedEarly
from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.runtime import session as parallel


@dataclass(frozen=True)
class Command:
    """`function` of `module`, called with a Job (commands that take a deck) or with the parsed arguments.

    Those that write have the output folder for themselves, a header and a summary.
    """

    module: str
    function: str
    sentence: str
    takes_deck: bool = True
    writes: bool = True


COMMANDS = {
    "run": Command("commands.run", "run", "every task that the deck has a section for, skipping what is up to date"),
    "check": Command(
        "commands.check",
        "check",
        "deck and data, without computing: frames, species, memory, expected time",
        writes=False,
    ),
    "md": Command("commands.md", "md", "molecular dynamics with an ASE calculator: trajectory_*.h5; continues"),
    "train": Command("commands.train", "train", "fit the model: model.h5, parity.png"),
    "learning-curve": Command(
        "commands.learning_curve", "learning_curve", "R2 and RMSE against N_T: learning_curve.h5, .png"
    ),
    "predict": Command(
        "commands.predict", "predict", "alpha along the trajectory: alpha.h5; continues where it stopped"
    ),
    "spectrum": Command("commands.spectrum", "spectrum", "Raman spectrum: raman.h5, raman.dat, raman.png"),
    "dynamics": Command(
        "commands.dynamics", "dynamics", "VDOS by species, MSD, diffusion: dynamics.h5, vdos.png, msd.png"
    ),
    "coupling": Command("commands.coupling", "coupling", "Raman intensity over density of states: coupling.h5, .png"),
    "compare": Command(
        "commands.compare", "compare", "against reference tensors, experiment, other runs: comparison.h5, .png"
    ),
    "forces": Command("commands.forces", "forces", "forces of the force field against DFT: forces.h5, .png"),
    "report": Command("commands.report", "report", "one document with every figure and number: report.html"),
    "converge": Command(
        "commands.converge", "converge", "spectra against N_T and trajectory length: convergence.h5, .png"
    ),
    "convert": Command(
        "commands.convert", "convert", "the trajectory to H5MD, for what reads it many times: trajectory.h5"
    ),
    "benchmark": Command(
        "commands.benchmark", "benchmark", "frames per second by stage and ranks, memory, time for a job"
    ),
    "campaign": Command(
        "campaign.command",
        "campaign",
        "many materials of one deck and their ranking: campaign.h5, .csv, .html",
        takes_deck=False,
    ),
    "info": Command("commands.about", "info", "versions, MPI, ranks and threads found", takes_deck=False),
    "schema": Command("commands.about", "schema", "every deck key with type, default and unit", takes_deck=False),
    "init": Command("commands.about", "init", "a commented deck to start from", takes_deck=False),
    "docs": Command("commands.about", "docs", "the documentation: topics, or one topic", takes_deck=False),
}

ENGINES = ("lammps", "gpumd", "ipi", "vasp")


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise DeckError(f"{message}; 'mlraman --help' lists the commands")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="mlraman",
        description="Raman spectra from molecular dynamics and machine-learned "
        "polarizabilities. Put mpirun or srun in front to use many processes.",
    )
    top.add_argument("--version", action="version", version=f"mlraman_hpc {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.sentence, description=command.sentence)
        if command.takes_deck:
            _deck_arguments(sub)
            if name == "md":
                sub.add_argument("--write", choices=ENGINES, help="write another engine's input instead of computing")
        elif name == "campaign":
            _deck_arguments(sub)
            _campaign_arguments(sub)
        elif name == "schema":
            sub.add_argument("--json", action="store_true", help="as a JSON schema, for editors")
        elif name == "docs":
            sub.add_argument("topic", nargs="?", help="topic; without it, the list of topics")
    return top


def _deck_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("deck", metavar="DECK", help="YAML deck")
    sub.add_argument(
        "--set",
        dest="changes",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one deck key, such as spectrum.smoothing=8; may be repeated",
    )
    sub.add_argument("--force", action="store_true", help="compute anew what is up to date or was interrupted")
    sub.add_argument(
        "--threads", type=int, metavar="N", help="threads of each rank; default: a fair share of the cores"
    )
    level = sub.add_mutually_exclusive_group()
    level.add_argument("--quiet", action="store_const", dest="level", const=0, default=1, help="warnings only")
    level.add_argument("--verbose", action="store_const", dest="level", const=2, help="more detail")


def _campaign_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--groups", type=int, metavar="N", help="groups of ranks, each computing one material at a time")
    some = sub.add_mutually_exclusive_group()
    some.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="this material alone, and the ranking; may be repeated",
    )
    some.add_argument("--array", action="store_true", help="this Slurm array task's share of the materials")


def main(arguments: list[str] | None = None) -> None:
    """Console entry; leaves with the documented exit code."""
    try:
        options = parser().parse_args(arguments)
    except DeckError as error:
        parallel.run(_raiser(error))
        return
    parallel.run(lambda session: _execute(session, options), getattr(options, "threads", None))


def _raiser(error: DeckError):
    def report(session):
        error.shared = True  # every rank has the same command line
        raise error

    return report


def _execute(session, options) -> None:
    command = COMMANDS[options.command]
    if options.command == "check":
        from mlraman_hpc.config.campaign_reader import is_campaign

        if session.on_root(is_campaign, options.deck):
            command = Command("campaign.check", "check", "", takes_deck=False)
    module = importlib.import_module(f"mlraman_hpc.{command.module}")
    function = getattr(module, command.function)
    if getattr(options, "write", None):
        function = functools.partial(function, engine=options.write)
    if not command.takes_deck:
        function(session, options)
        return
    from mlraman_hpc.config.deck_reader import read_deck
    from mlraman_hpc.pipeline.job import Job
    from mlraman_hpc.runtime.console import Console

    session.enter_stage("deck")
    deck = session.on_root(read_deck, options.deck, options.changes)
    console = Console(session, options.level)
    job = Job(deck, session, console, options.force)
    if command.writes:
        _run(job, options.command, function)
    else:
        session.enter_stage(options.command)
        function(job)
        console.summary()


def _run(job, name: str, function) -> None:
    """The command with all that belongs to a run around it."""
    try:
        job.header(name)
        job.session.only_on_root(job.limit_time)
        with job.folder(), contextlib.nullcontext() if name == "run" else job.stage(name):
            function(job)
    except StoppedEarly:
        job.console.summary("stopped after")
        raise
    job.console.summary(memory=job.session.gather(machine.peak_memory()))


if __name__ == "__main__":
    main(sys.argv[1:])
