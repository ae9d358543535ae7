"""`mlraman prepare`: input of the calculations that `select` has chosen -> a folder for each, and a job array."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mlraman_hpc.labelling.converged_settings import prepare_trials
from mlraman_hpc.labelling.preparation import prepare_calculations, show_templates, submit_hint
from mlraman_hpc.pipeline.job import Job


def prepare(
    job: Job, template: str | None = None, show_template: bool = False, dry_run: bool = False, converge: bool = False
) -> None:
    """Write input for all calculations without a result; `template` takes the place of labelling.template.

    converge: instead, a few frames with each value of labelling.converge.
    """
    if template is not None and (section := job.section("labelling")):
        section = section.model_copy(update={"template": str(Path(template).absolute())})
        job = replace(job, deck=job.deck.model_copy(update={"labelling": section}))
    with job.located():
        if show_template:
            job.session.only_on_root(show_templates, job)
            return
        if converge:
            job.session.only_on_root(prepare_trials, job)
            return
        manifest = job.session.on_root(prepare_calculations, job, dry_run)
        if manifest.open and not dry_run:
            job.console.say(f"as a job array: {job.session.on_root(submit_hint, job)}; then 'mlraman collect'")
