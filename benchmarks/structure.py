"""How a checkout is built: sizes of modules and functions, parameters, import cycles, docs.

    python benchmarks/structure.py CHECKOUT [CHECKOUT ...]

One column for each checkout, to compare a version with another one: git worktree add /tmp/before
COMMIT. Reads the files and imports nothing; takes a second.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

PACKAGE = "hangtag"


def modules(root: Path) -> dict[str, Path]:
    """Return the paths of the package's modules by their dotted names."""
    paths = sorted((root / PACKAGE).rglob("*.py"))
    names = (".".join(path.relative_to(root).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function from `def` on, its docstring and nested functions included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the parameters but `self` and `cls`."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    extra = (given.vararg is not None) + (given.kwarg is not None)
    return len(names) - (names[:1] in (["self"], ["cls"])) + extra


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """Return the modules of the package that one imports, inside functions too, but its root."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return (found & known) - {PACKAGE}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of two or more nodes that reach each other (Tarjan's components)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        numbers[node] = lowest[node] = len(numbers)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in numbers:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == numbers[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in numbers:
            visit(node)
    return found


def package_of(name: str) -> str:
    """Return a module's package: its second name, or the module itself at the top."""
    return [*name.split("."), ""][1]


def between_packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports between packages; the root and `__main__` are left out."""
    found: dict[str, set[str]] = {}
    for name, others in graph.items():
        if package_of(name) not in ("", "__main__"):
            packages = {package_of(other) for other in others} - {package_of(name)}
            found.setdefault(package_of(name), set()).update(packages)
    return found


def spread(sizes: list[int]) -> dict[str, str]:
    return {
        "count": str(len(sizes)),
        "median": f"{median(sizes):g}",
        "p90": f"{quantiles(sizes, n=10)[-1]:.0f}",
        "max": str(max(sizes)),
    }


def doc_lines(root: Path) -> int:
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    return sum(len(page.read_text(encoding="utf-8").splitlines()) for page in pages)


def measured(root: Path) -> dict[str, str]:
    """Return a checkout's figures by their names."""
    paths = modules(root)
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    found = [one for tree in trees.values() for one in functions(tree)]
    sizes, parameters = [lines_of(one) for one in found], [parameters_of(one) for one in found]
    graph = {name: imports(tree, set(paths)) - {name} for name, tree in trees.items()}
    lines = [len(text.splitlines()) for text in texts.values()]
    rows = {f"modules, {name}": value for name, value in spread(lines).items()}
    rows["modules, over 300 lines"] = str(sum(size > 300 for size in lines))
    rows |= {f"functions, {name}": value for name, value in spread(sizes).items()}
    rows["functions, over 40 lines"] = str(sum(size > 40 for size in sizes))
    rows["parameters, max"] = str(max(parameters))
    rows["functions, over 6 parameters"] = str(sum(count > 6 for count in parameters))
    rows["import cycles between modules"] = str(len(cycles(graph)))
    rows["import cycles between packages"] = str(len(cycles(between_packages(graph))))
    rows["lines of Python in the package"] = str(sum(lines))
    rows["lines of docs (Markdown)"] = str(doc_lines(root))
    return rows


def main() -> None:
    roots = [Path(given) for given in sys.argv[1:]]
    if not roots:
        sys.exit(__doc__)
    columns = [measured(root) for root in roots]
    print(f"| | {' | '.join(root.resolve().name for root in roots)} |")
    print(f"|---|{'---:|' * len(roots)}")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


if __name__ == "__main__":
    main()
