"""The command line: a table of commands. The module of a command is imported when it is called.

Exit codes: see base.errors.ExitCode.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DeckError, StoppedEarly
from mlraman_hpc.runtime import session as mpi
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.resources import peak_memory


def _deck_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("deck", metavar="DECK", help="YAML deck")
    command.add_argument(
        "--set",
        dest="changes",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one deck key, such as spectrum.smoothing=8; may be repeated",
    )
    command.add_argument("--force", action="store_true", help="compute anew what is up to date or was interrupted")
    command.add_argument(
        "--threads", type=int, metavar="N", help="threads of each rank; default: a fair share of the cores"
    )
    level = command.add_mutually_exclusive_group()
    level.add_argument("--quiet", action="store_const", dest="level", const=0, default=1, help="warnings only")
    level.add_argument("--verbose", action="store_const", dest="level", const=2, help="more detail")


def _campaign_options(command: argparse.ArgumentParser) -> None:
    _deck_options(command)
    command.add_argument(
        "--groups", type=int, metavar="N", help="groups of ranks, each computing one material at a time"
    )
    choice = command.add_mutually_exclusive_group()
    choice.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="this material alone, and the ranking; may be repeated",
    )
    choice.add_argument("--array", action="store_true", help="this Slurm array task's share of the materials")


def _schema_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="as a JSON schema, for editors")


def _docs_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("topic", nargs="?", help="topic; without it, the list of topics")


def _no_options(command: argparse.ArgumentParser) -> None:
    pass


@dataclass(frozen=True)
class Command:
    """A function of the command's name, called with a Job; one with a `module` of its own, with session and options.

    A command that writes has the output folder for itself, a header and a summary.
    """

    help: str
    options: Callable[[argparse.ArgumentParser], None] = _deck_options
    writes: bool = True
    module: str = ""  # below mlraman_hpc; else commands.NAME
    file: str = ""  # module of commands, where it is not NAME


COMMANDS = {
    "run": Command("every task that the deck has a section for, skipping what is up to date"),
    "check": Command("deck and data, without computing: frames, species, memory, expected time", writes=False),
    "train": Command("fit the model: model.h5, parity.png"),
    "learning-curve": Command("R2 and RMSE against N_T: learning_curve.h5, .png"),
    "predict": Command("alpha along the trajectory: alpha.h5; continues where it stopped"),
    "spectrum": Command("Raman spectrum: raman.h5, raman.dat, raman.png"),
    "dynamics": Command("VDOS by species, MSD, diffusion: dynamics.h5, vdos.png, msd.png"),
    "coupling": Command("Raman intensity over density of states: coupling.h5, .png"),
    "compare": Command("against reference tensors, experiment, other runs: comparison.h5, .png"),
    "forces": Command("forces of the force field against DFT: forces.h5, .png"),
    "report": Command("one document with every figure and number: report.html"),
    "converge": Command("spectra against N_T and trajectory length: convergence.h5, .png"),
    "convert": Command("the trajectory to H5MD, for what reads it many times: trajectory.h5"),
    "convert-labels": Command("derivatives of alpha, as from forces in fields: derivatives.extxyz", file="convert"),
    "benchmark": Command("frames per second by stage and ranks, memory, time for a job"),
    "campaign": Command(
        "many materials of one deck and their ranking: campaign.h5, .csv, .html",
        _campaign_options,
        module="campaign.command",
    ),
    "info": Command("versions, MPI, ranks and threads found", _no_options, module="commands.about"),
    "schema": Command("every deck key with type, default and unit", _schema_options, module="commands.about"),
    "init": Command("a commented deck to start from", _no_options, module="commands.about"),
    "docs": Command("the documentation: topics, or one topic", _docs_options, module="commands.about"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise DeckError(f"{message}; 'mlraman --help' lists the commands")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line; a wrong one is a DeckError."""
    top = _Parser(
        prog="mlraman",
        description="Raman spectra from molecular dynamics and machine-learned "
        "polarizabilities. Put mpirun or srun in front to use many processes.",
    )
    top.add_argument("--version", action="version", version=f"mlraman_hpc {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, command in COMMANDS.items():
        command.options(commands.add_parser(name, help=command.help, description=command.help))
    return top


def main(arguments: list[str] | None = None) -> None:
    """Console entry; leaves with an ExitCode."""
    try:
        options = parser().parse_args(arguments)
    except DeckError as error:
        error.shared = True  # every rank has the same command line
        mpi.run(_raiser(error))
    mpi.run(lambda session: execute(session, options), getattr(options, "threads", None))


def _raiser(error: DeckError):
    def fail(session):
        raise error

    return fail


def execute(session: mpi.Session, options: argparse.Namespace) -> None:
    """The command that `options`, from `parser`, ask for."""
    name, command = options.command, COMMANDS[options.command]
    if command.module:
        _function(command.module, name)(session, options)
    elif name == "check" and _is_campaign(session, options.deck):
        _function("campaign.check", name)(session, options)
    else:
        module = f"commands.{command.file or name.replace('-', '_')}"
        _with_job(session, options, command.writes, _function(module, name))


def _function(module: str, name: str) -> Callable:
    return getattr(importlib.import_module(f"mlraman_hpc.{module}"), name.replace("-", "_"))


def _is_campaign(session: mpi.Session, deck: str) -> bool:
    from mlraman_hpc.config.campaign_reader import is_campaign

    return session.on_root(is_campaign, deck)


def _with_job(session: mpi.Session, options: argparse.Namespace, writes: bool, function: Callable) -> None:
    from mlraman_hpc.config.deck_reader import read_deck
    from mlraman_hpc.pipeline.job import Job

    session.enter_stage("deck")
    deck = session.on_root(read_deck, options.deck, options.changes)
    job = Job(deck, session, Console(session, options.level), options.force)
    if writes:
        _write_results(job, options.command, function)
    else:
        session.enter_stage(options.command)
        function(job)
        job.console.summary()


def _write_results(job, name: str, function: Callable) -> None:
    """Header, time limit and lock of the output folder before, summary after."""
    try:
        job.header(name)
        job.session.only_on_root(job.limit_time)
        with job.folder(), contextlib.nullcontext() if name == "run" else job.stage(name):
            function(job)
    except StoppedEarly:
        job.console.summary("stopped after")
        raise
    job.console.summary(memory=job.session.gather(peak_memory()))


if __name__ == "__main__":
    main(sys.argv[1:])
