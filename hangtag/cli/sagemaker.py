"""Commands of `hangtag sagemaker`. boto3 is imported when a command runs."""

from typing import Annotated

from cyclopts import App, Parameter

from hangtag.cli.options import Output, Result
from hangtag.cli.sagemaker_endpoints import deploy, invoke, transform
from hangtag.cli.sagemaker_jobs import train, tune
from hangtag.errors import ConfigError, JobError

app = App(
    name="sagemaker",
    help="Train, tune and serve on Amazon SageMaker, in your own account and at your own cost.",
)
for _command in (train, tune, deploy, transform, invoke):
    app.command(_command)


@app.command(name="status")
def status(name: str | None = None, /, *, output: Output | None = None) -> Result:
    """List what hangtag created on SageMaker, or show one job, model or endpoint.

    Parameters
    ----------
    name
        The job, model or endpoint to show; by default all are listed.
    """
    from hangtag.sagemaker import resources
    from hangtag.sagemaker.account import Account

    account = Account()
    if name is not None:
        found = resources.details(account, name)
        lines = [line for one in found for line in (*(f"{k:15} {v}" for k, v in one.items()), "")]
        return Result(lines, found)
    listed = list(resources.resources(account))
    lines = [f"{one.created}  {one.kind:22} {one.status:11} {one.name}" for one in listed]
    return Result(
        lines or [f"nothing that hangtag created in {account.region}"],
        [vars(one) for one in listed],
    )


@app.command(name="delete")
def delete(
    *names: str, all_: Annotated[bool, Parameter(name="--all")] = False,
    output: Output | None = None,
) -> Result:  # fmt: skip
    """Stop jobs, and delete endpoints with their configuration and model; buckets are not changed.

    Parameters
    ----------
    names
        The jobs, endpoints and models to delete.
    all_
        Everything that hangtag created.
    """
    from hangtag.sagemaker import resources
    from hangtag.sagemaker.account import Account

    if bool(names) == all_:
        raise ConfigError("name jobs, endpoints or models to delete, or give --all")
    account = Account()
    wanted = names or tuple(dict.fromkeys(one.name for one in resources.resources(account)))
    kept, lines = [], []
    for name in wanted:
        try:
            lines += list(resources.delete(account, name))
        except JobError as cause:  # delete the others all the same: they cost, too
            kept.append(str(cause))
    if not wanted:
        lines = [f"nothing that hangtag created in {account.region}"]
    return Result(lines, {"deleted": lines if wanted else [], "kept": kept}, "; ".join(kept))
