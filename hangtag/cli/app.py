"""The `hangtag` command: its groups, and how an answer or an error is printed.

A command parses, calls one function of the API and says what to print. Heavy modules are imported
inside the commands, so that `hangtag --help` is quick and needs no torch.
"""

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from hangtag import __version__
from hangtag.cli import dataset, doctor, library, model, quality, review, sagemaker, tagging
from hangtag.cli.options import Answer, Output
from hangtag.cli.terminal import shown
from hangtag.errors import HangtagError, Stopped

app = App(
    name="hangtag",
    help="Learns the tags of a graphic-design library and puts them on new designs.",
    version=__version__,
    help_format="markdown",
)
# In the order of the work.
_COMMANDS: dict[str, Any] = {
    "sample": library.sample,
    "import": library.import_,
    "vocabulary": library.vocabulary,
    "pack": dataset.pack,
    "train": model.train,
    "tune": model.tune,
    "study": model.study,
    "evaluate": quality.evaluate,
    "compare": quality.compare,
    "tag": tagging.tag,
    "serve": tagging.serve,
    "audit": quality.audit,
    "review": review.app,
    "import-model": model.import_model,
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
app.register_install_completion_command(help="Install completion for the shell in use.")


def run(tokens: Sequence[str]) -> None:
    """Run a command line, with local copies of what lies in S3, and print its answer."""
    try:
        command, bound, _ = app.parse_args(list(tokens), exit_on_error=False)
    except CycloptsError:  # which it has printed
        sys.exit(2)
    given = list(bound.arguments.values())
    given += [one for value in given if isinstance(value, tuple) for one in value]
    output = bound.arguments.get("output") or Output()
    with shown(output.quiet):
        if not any(map(_is_elsewhere, given)):
            _print(command(*bound.args, **bound.kwargs), output)
            return
        from hangtag.cli.addresses import fetched, named_by_address, refuse_folded

        refuse_folded(tokens)
        with fetched(bound.arguments) as arguments, named_by_address():
            bound.arguments.update(arguments)
            _print(command(*bound.args, **bound.kwargs), output)


def _print(answer: Any, output: Output) -> None:
    """Print what a command returned: an Answer; cyclopts' own commands print for themselves."""
    if not isinstance(answer, Answer):
        return
    if output.json and not answer.streamed:
        print(json.dumps(answer.data, allow_nan=False, ensure_ascii=False, default=str))
    else:
        for line in answer.lines:
            print(line)
    if answer.failure:
        raise HangtagError(answer.failure)


def _is_elsewhere(value: Any) -> bool:
    """Tell whether an argument is a path in a bucket (pathlib makes one slash of two) or packed."""
    return isinstance(value, Path) and (str(value).startswith("s3:") or value.suffix == ".gz")


def main() -> None:
    """Run the command line and exit: 0, 1 after a run-time error, 2 for wrong usage, 130."""
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
        place = f"{error.filename}: " if error.filename else ""
        print(f"hangtag: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("hangtag: stopped; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
