"""The command line: a table of commands. The module of a command is imported when it is called.

Exit codes: see base.errors.ExitCode.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import shutil
import sys
import tempfile
import time
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


def _md_options(command: argparse.ArgumentParser) -> None:
    _deck_options(command)
    engines = ("lammps", "gpumd", "ipi", "vasp")
    command.add_argument("--write", choices=engines, help="write the input of another engine instead of computing")


def _prepare_options(command: argparse.ArgumentParser) -> None:
    _deck_options(command)
    command.add_argument("--template", metavar="FILE", help="input template or folder of them, as labelling.template")
    choice = command.add_mutually_exclusive_group()
    choice.add_argument("--show-template", action="store_true", help="print the templates, to begin your own from")
    choice.add_argument("--dry-run", action="store_true", help="show the first input, write nothing")
    choice.add_argument("--converge", action="store_true", help="a few frames with each value of labelling.converge")


def _collect_options(command: argparse.ArgumentParser) -> None:
    _deck_options(command)
    command.add_argument("--converge", action="store_true", help="the table of what 'prepare --converge' has made")


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


def _init_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "kind", nargs="?", help="vasp, lammps, gpumd, cp2k, md, labelling, campaign; default: every key"
    )


def _examples_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="example to copy; without it, the list of examples")
    command.add_argument("--to", metavar="FOLDER", help="new folder; default: the example's name")


def _status_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("folders", nargs="*", metavar="FOLDER", help="folders of results; default: the current one")


def _info_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--selftest", action="store_true", help="also compile the loops and run a small example")


def _export_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="model.h5")
    command.add_argument("--metatomic", metavar="FILE", required=True, help="metatomic model to write (.pt)")


def _report_options(command: argparse.ArgumentParser) -> None:
    _deck_options(command)
    command.add_argument("--text", action="store_true", help="the numbers alone, on the terminal")


@dataclass(frozen=True)
class Command:
    """A function of the command's name, called with a Job; one with a `module` of its own, with session and options.

    A command that writes has the output folder for itself, a header and a summary.
    """

    help: str
    options: Callable[[argparse.ArgumentParser], None] = _deck_options
    writes: bool = True
    module: str = ""  # below mlraman_hpc; else commands.NAME
    beside: str = ""  # the command whose module has this one's function too
    passes: tuple[str, ...] = ()  # options that the function takes by name


COMMANDS = {
    "run": Command("every task that the deck has a section for, skipping what is up to date"),
    "check": Command("deck and data, without computing: frames, species, memory, expected time", writes=False),
    "md": Command("molecular dynamics with an ASE calculator: trajectory_*.h5; goes on where it stopped", _md_options),
    "tune": Command("choose the descriptor by leave-one-out on the training labels: tuning.h5", beside="train"),
    "train": Command("fit the model: model.h5, parity.png"),
    "learning-curve": Command("R2 and RMSE against N_T: learning_curve.h5, .png"),
    "predict": Command("alpha along the trajectory: alpha.h5; continues where it stopped"),
    "spectrum": Command("Raman spectrum: raman.h5, raman.dat, raman.jdx, raman.png"),
    "dynamics": Command("VDOS by species, MSD, diffusion: dynamics.h5, vdos.png, msd.png"),
    "coupling": Command("Raman intensity over density of states: coupling.h5, .png"),
    "compare": Command("against reference tensors, experiment, other runs: comparison.h5, .png"),
    "forces": Command("forces of the force field against DFT: forces.h5, .png"),
    "report": Command("one document with every figure and number: report.html; --text", _report_options),
    "converge": Command("spectra against N_T and trajectory length: convergence.h5, .png"),
    "select": Command("frames worth labelling: labels.json, selected.extxyz"),
    "prepare": Command(
        "input of calculations, in a folder for each, and a job array",
        _prepare_options,
        passes=("template", "show_template", "dry_run", "converge"),
    ),
    "collect": Command(
        "results of calculations: labels.extxyz, what failed and why, what to submit again",
        _collect_options,
        passes=("converge",),
    ),
    "label": Command("labels until the spectrum is known: select, prepare, run, collect, train, compare: labelling.h5"),
    "convert": Command("the trajectory to H5MD, for what reads it many times: trajectory.h5"),
    "convert-labels": Command("derivatives of alpha, as from forces in fields: derivatives.extxyz", beside="convert"),
    "export": Command("model.h5 as a metatomic model (.pt)", _export_options, module="commands.export"),
    "benchmark": Command("frames per second by stage and ranks, memory, time for a job"),
    "campaign": Command(
        "many materials of one deck and their ranking: campaign.h5, .csv, .html",
        _campaign_options,
        module="campaign.command",
    ),
    "info": Command("versions, MPI, ranks and threads found; --selftest", _info_options, module="commands.about"),
    "schema": Command("every deck key with type, default and unit", _schema_options, module="commands.about"),
    "init": Command("a commented deck to start from", _init_options, module="commands.about"),
    "examples": Command("the shipped examples: a list, or a copy of one", _examples_options, module="commands.about"),
    "status": Command("how far running and finished jobs are", _status_options, module="commands.about"),
    "verify": Command(
        "what of a folder of results is whole, stale or changed; exit code 0 or 3",
        _status_options,
        module="commands.verify",
    ),
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
        if name == "info" and options.selftest:
            _selftest(session)
    elif name in ("check", "label") and _is_campaign(session, options.deck):
        _function("campaign.check" if name == "check" else "campaign.labels", name)(session, options)
    elif name == "report" and options.text:
        _with_job(session, options, False, _function("commands.report", "report_text"))
    else:
        module = f"commands.{(command.beside or name).replace('-', '_')}"
        function = _function(module, name)
        if getattr(options, "write", None):
            function = functools.partial(function, engine=options.write)
        if command.passes:
            function = functools.partial(function, **{key: getattr(options, key) for key in command.passes})
        _with_job(session, options, command.writes, function)


def _selftest(session: mpi.Session) -> None:
    """A second of the shipped example in a temporary folder, with all that a real run does."""
    about = importlib.import_module("mlraman_hpc.commands.about")
    folder, start = session.on_root(tempfile.mkdtemp), time.monotonic()
    changes = [*about.SELFTEST, f"output={folder}"]
    options = argparse.Namespace(command="run", deck=about.selftest_deck(), changes=changes, force=False, level=0)
    try:
        _with_job(session, options, True, _function("commands.run", "run"))
        session.on_root(about.selftest_result, folder, time.monotonic() - start)
    finally:
        if session.is_root:
            shutil.rmtree(folder, ignore_errors=True)


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
    """Header, time limit, lock and status file of the output folder before, summary after."""
    try:
        job.header(name)
        job.session.only_on_root(job.limit_time)
        with job.folder(), job.status(name), contextlib.nullcontext() if name == "run" else job.stage(name):
            function(job)
    except StoppedEarly:
        job.console.summary("stopped after")
        raise
    job.console.summary(memory=job.session.gather(peak_memory()))


if __name__ == "__main__":
    main(sys.argv[1:])
