"""`mlraman run`: the chain of tasks that the deck has a section for. Each skips what is up to date."""

from __future__ import annotations

from mlraman_hpc.tasks.job import Job


def run(job: Job) -> None:
    header(job)
    job.session.on_root(job.prepare_output)
    deck = job.deck
    if deck.reference:
        from mlraman_hpc.tasks.train import train
        train(job)
    if deck.reference and deck.learning_curve:
        from mlraman_hpc.tasks.learning_curve import learning_curve
        learning_curve(job)
    if deck.trajectory:
        from mlraman_hpc.tasks.predict import predict
        predict(job)
    from mlraman_hpc.tasks.spectrum import spectrum
    spectrum(job)
    if deck.dynamics:
        from mlraman_hpc.tasks.dynamics import dynamics
        dynamics(job)
    from mlraman_hpc.tasks.report import report
    report(job)


def header(job: Job) -> None:
    from mlraman_hpc import __version__
    session = job.session
    hosts = session.hosts()
    where = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts ({hosts[0]}, ...)"
    ranks = f"{session.size} rank{'s' if session.size > 1 else ''} of {session.threads} thread" + (
        "s" if session.threads > 1 else "")
    job.console.say(f"mlraman {__version__} on {where}: {ranks}; MPI: {session.library}")
    if job.deck.title:
        job.console.say(job.deck.title)
