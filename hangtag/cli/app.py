"""The `hangtag` command: its groups, and how a result or an error is printed.

A command parses, calls one function of the API and returns what to print. Heavy modules are
imported inside the commands, so that `hangtag --help` is quick and needs no torch.
"""

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from hangtag import __version__
from hangtag.cli import (
    dataset,
    demo,
    doctor,
    finding,
    library,
    model,
    quality,
    review,
    sagemaker,
    tagging,
    vocabulary,
)
from hangtag.cli.examples import add_examples
from hangtag.cli.options import DEFAULTS, Output, Result
from hangtag.cli.terminal import shown
from hangtag.errors import HangtagError, Stopped

app = App(
    name="hangtag",
    help="Learns the tags of a graphic-design library and puts them on new designs.",
    version=__version__,
    help_format="markdown",
    default_parameter=DEFAULTS,
)
# In the order of the work.
_COMMANDS: dict[str, Any] = {
    "demo": demo.demo,
    "sample": library.sample,
    "import": library.import_,
    "vocabulary": vocabulary.vocabulary,
    "pack": dataset.pack,
    "train": model.train,
    "tune": model.tune,
    "study": model.study,
    "evaluate": quality.evaluate,
    "compare": quality.compare,
    "tag": tagging.tag,
    "untag": tagging.untag,
    "watch": tagging.watch,
    "serve": tagging.serve,
    "audit": quality.audit,
    "review": review.app,
    "index": finding.index,
    "similar": finding.similar,
    "duplicates": finding.duplicates,
    "search": finding.search,
    "teach": finding.teach,
    "export": model.export,
    "import-model": model.import_model,
    "merge": dataset.merge,
    "salvage": dataset.salvage,
    "sagemaker": sagemaker.app,
    "doctor": doctor.doctor,
}
for _number, (_name, _command) in enumerate(_COMMANDS.items()):
    if isinstance(_command, App):
        _command.sort_key = _number
        app.command(_command)
    else:
        app.command(_command, name=_name, sort_key=_number)
add_examples(app)
app.register_install_completion_command(help="Install completion for your shell.")


def run(tokens: Sequence[str]) -> None:
    """Run a command line, with local copies of s3:// paths, and print its result."""
    try:
        command, bound, _ = app.parse_args(list(tokens), exit_on_error=False)
    except CycloptsError:  # it is printed already
        sys.exit(2)
    values = list(bound.arguments.values())
    values += [one for value in values if isinstance(value, tuple) for one in value]
    output = bound.arguments.get("output") or Output()
    with shown(output.quiet):
        if not any(map(_needs_fetching, values)):
            _print(command(*bound.args, **bound.kwargs), output)
            return
        from hangtag.cli.addresses import fetched, named_by_address, refuse_folded

        refuse_folded(tokens)
        with fetched(bound.arguments) as arguments, named_by_address():
            bound.arguments.update(arguments)
            _print(command(*bound.args, **bound.kwargs), output)


def _print(result: Any, output: Output) -> None:
    """Print the Result of a command; cyclopts' own commands print for themselves."""
    if not isinstance(result, Result):
        return
    if output.json and not result.streamed:
        print(json.dumps(result.data, allow_nan=False, ensure_ascii=False, default=str))
    else:
        for line in result.lines:
            print(line)
    if result.failure:
        raise HangtagError(result.failure)


def _needs_fetching(value: Any) -> bool:
    """Return whether an argument is an archive or in a bucket (pathlib makes s3:/ of s3://)."""
    return isinstance(value, Path) and (str(value).startswith("s3:") or value.suffix == ".gz")


def main() -> None:
    """Run the command line; exit with 0, 1 (run-time error), 2 (wrong usage) or 130 (stopped)."""
    from hangtag.training.threads import share_cores

    share_cores()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as in workers.quiet_decoders
    try:
        run(sys.argv[1:])
    except Stopped as error:
        print(f"hangtag: {error}", file=sys.stderr)
        sys.exit(130)
    except HangtagError as error:
        print(f"hangtag: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `hangtag tag ... | head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"hangtag: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("hangtag: stopped; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
