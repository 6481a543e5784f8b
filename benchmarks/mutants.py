"""Mutation: does a test fail when a line of the package is wrong?

    export KERAS_BACKEND=torch OMP_NUM_THREADS=1 KERAS_MIXUP_EXAMPLES=10
    pytest --cov --cov-context=test --cov-report= -o junit_family=xunit1 --junitxml=build/tests.xml
    python benchmarks/mutants.py                                   40 of each file, drawn at random, seed 0
    python benchmarks/mutants.py --only losses --sample 1000       all of a file
    python benchmarks/mutants.py --survivors --tests tests/test_x.py::test_y    once more, by these tests

A mutant is the package with one node of its syntax tree changed: a comparison, an operator, a constant, a condition, a
returned value, or a statement that is gone. Keras takes seconds to import, so each mutant is a fork of a process that
has imported it, but not this package, of which it gets the changed source. It runs the tests that came by the changed
line, one of each function first and the quickest first, until one fails. A line without a test on this backend has no
mutants here; the coverage says which these are. Needs Linux. Outcomes are kept in `build/mutants.json`; the table is
printed.
"""

import argparse
import ast
import collections
import contextlib
import copy
import importlib.machinery
import importlib.util
import itertools
import json
import os
import pathlib
import random
import resource
import signal
import sys
import time
import traceback
import xml.etree.ElementTree as ElementTree

import coverage

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "keras_mixup"
NOT_MUTATED = {"_texts.py"}  # words only
LONGEST_TEST, ALL_TESTS, MOST_TESTS = 3.0, 8.0, 60  # seconds, seconds and number for one mutant
PYTEST = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:cov"]
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins are imported before the fork
CPU_LIMIT, WALL_LIMIT = 60, 240  # seconds; the second for a deadlock

SWAPPED = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def changes(node):
    """The nodes that may stand in the place of this one."""
    match node:
        case ast.Compare():
            for at, op in enumerate(node.ops):
                yield changed(node, ops=[*node.ops[:at], SWAPPED[type(op)](), *node.ops[at + 1 :]])
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign() if type(node.op) in SWAPPED:
            yield changed(node, op=SWAPPED[type(node.op)]())
            if isinstance(node, ast.BoolOp):
                yield from node.values[:: len(node.values) - 1]
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield changed(node, value=not node.value)
        case ast.Constant(value=int() | float()):
            yield changed(node, value=node.value + 1)
        case ast.Constant(value=str()) if node.value.isidentifier():
            yield changed(node, value=node.value + "_")
        case ast.Return(value=value) if value is not None and not is_none(value):
            yield changed(node, value=ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Yield()) | ast.Raise():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.If():
            yield changed(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.comprehension(ifs=[_, *_]):
            yield changed(node, ifs=[])
        case ast.Continue():
            yield ast.Break()
        case ast.Call(func=ast.Name(id="any" | "all" | "min" | "max" as name)):
            other = {"any": "all", "all": "any", "min": "max", "max": "min"}[name]
            yield changed(node, func=ast.Name(other, ast.Load()))


def changed(node, **fields):
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def is_none(node):
    return isinstance(node, ast.Constant) and node.value is None


class Site:
    """A place in a syntax tree: a node, its parent, and where it hangs there."""

    def __init__(self, node, parent, field, index, around):
        self.node, self.parent, self.field, self.index, self.around = node, parent, field, index, around

    def put(self, node):
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def sites(node, around=()):
    """All places below a node, but docstrings, annotations and the names of a module's `__all__`."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or is_docstring(child) or is_all(child):
                continue
            yield Site(child, node, field, index, around)
            yield from sites(child, (*around, child))


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_all(node):
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


class Mutant:
    """One change in one file."""

    def __init__(self, path, number):
        self.path, self.number = path, number
        self.tree = ast.parse(path.read_text())
        found = ((site, new) for site in list(sites(self.tree)) for new in changes(site.node))
        site, new = next(itertools.islice(found, number, None))
        placed = next(node for node in (site.node, *site.around[::-1]) if hasattr(node, "lineno"))
        self.place = f"{path.relative_to(PACKAGE)}:{placed.lineno}:{placed.col_offset}"
        self.site, self.before = site, one_line(site.node)
        self.after = "gone" if isinstance(new, ast.Pass) else f"`{one_line(new)}`"
        site.put(new)
        ast.fix_missing_locations(self.tree)

    def __str__(self):
        return f"{self.place} `{self.before}` → {self.after}"

    def tests(self, reached):
        """Those that came by the changed line; for what runs at import, by the function, class or file around it."""
        for node in (self.site.node, *self.site.around[::-1]):
            if not hasattr(node, "lineno"):
                continue
            last = node.test.end_lineno if isinstance(node, ast.If) and node is self.site.node else node.end_lineno
            lines = range(node.lineno, last + 1)
            found = set().union(*(reached.get(line, ()) for line in lines))
            at_import = any(line in reached for line in lines)  # has run, but in no test
            if found or (isinstance(node, ast.stmt) and not at_import):
                return found
        return set().union(*reached.values())


def one_line(node):
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else text[:67] + "..."


def number_of_mutants(path):
    return sum(1 for site in list(sites(ast.parse(path.read_text()))) for _ in changes(site.node))


def load(coverage_file, report):
    """For each file and line the tests that ran it, and for each test its seconds."""
    seconds = {}
    for case in ElementTree.parse(report).iter("testcase"):
        if not list(case):  # passed
            classes = case.get("classname").removeprefix(case.get("file")[:-3].replace("/", ".")).strip(".")
            name = "::".join([case.get("file"), *filter(None, [classes]), case.get("name")])
            seconds[name] = float(case.get("time"))
    data = coverage.CoverageData(coverage_file)
    data.read()
    reached = {}
    for path in data.measured_files():
        lines = data.contexts_by_lineno(path)
        reached[path] = {
            line: {name for context in contexts if (name := context.split("|")[0]) in seconds}
            for line, contexts in lines.items()
        }
    return reached, seconds


def in_order(tests, seconds, busy=1.0):
    """One of each function, then the others; the quickest first, as many as the time allows."""
    seen: collections.Counter = collections.Counter()
    ranked = []
    for test in sorted(tests, key=seconds.get):
        function = test.split("[")[0]
        ranked.append((seen[function], seconds[test], test))
        seen[function] += 1
    chosen, total = [], 0.0
    for _, duration, test in sorted(ranked):
        if duration <= LONGEST_TEST * busy and total + duration <= ALL_TESTS * busy and len(chosen) < MOST_TESTS:
            chosen.append(test)
            total += duration
    return chosen


class Changed(importlib.machinery.SourceFileLoader):
    """Loads a mutant instead of the file."""

    def get_code(self, name):
        return compile(self.tree, self.path, "exec", dont_inherit=True)


class Finder:
    def __init__(self, mutant):
        self.mutant = mutant
        parts = mutant.path.relative_to(ROOT).with_suffix("").parts
        self.name = ".".join(part for part in parts if part != "__init__")

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        loader = Changed(name, str(self.mutant.path))
        loader.tree = self.mutant.tree
        return importlib.util.spec_from_file_location(name, self.mutant.path, loader=loader)


def run(mutant, tests, log):
    """Runs tests on a mutant, or on the package as it is, in a fork: "killed", "survived" or "timeout"."""
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT + 5))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = 99
        try:
            import pytest

            if mutant is not None:
                print(mutant)
                sys.meta_path.insert(0, Finder(mutant))
            code = int(pytest.main([*PYTEST, *tests]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    deadline = time.monotonic() + WALL_LIMIT
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            kill(child)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM:
                sys.exit("Ended from outside.")
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
                return "timeout"
            return "survived" if status == 0 else "killed"
        time.sleep(0.02)
    kill(child)
    os.waitpid(child, 0)
    return "timeout"


def kill(group):
    """Ends a fork that was started here, and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def import_frameworks():
    """What every test imports. Nothing may be computed here: threads do not survive a fork."""
    os.environ |= {"CI": "1", "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "torch"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    os.environ |= {"HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis"}
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in ("keras", "tensorflow", "scipy.stats", "sklearn.metrics", "hypothesis.strategies", "pytest"):
        importlib.import_module(name)


def files(only):
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name not in NOT_MUTATED and (not only or path.stem.strip("_") in only):
            yield path


def table(outcomes):
    """The score of each file, and what has survived."""
    by_file = collections.defaultdict(list)
    for key, outcome in outcomes.items():
        by_file[key.split(":")[0]].append((key, outcome))
    lines = ["| file | mutants | tried | killed | timeout | survived | score |", "|---|---|---|---|---|---|---|"]
    for name, tried in sorted(by_file.items()):
        count = collections.Counter(outcome["result"] for _, outcome in tried)
        score = count["killed"] / len(tried)
        total = number_of_mutants(PACKAGE / name)
        cells = [f"`{name}`", total, len(tried), *(count[kind] for kind in ("killed", "timeout", "survived"))]
        lines.append(f"| {' | '.join(map(str, cells))} | {score:.0%} |")
    left = [outcome["what"] for outcome in outcomes.values() if outcome["result"] == "survived"]
    return "\n".join([*lines, "", *(f"- {what}" for what in left)])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--coverage", default=ROOT / ".coverage", type=pathlib.Path)
    options.add_argument("--report", default=ROOT / "build/tests.xml", type=pathlib.Path)
    options.add_argument("--results", default=ROOT / "build/mutants.json", type=pathlib.Path)
    options.add_argument("--sample", type=int, default=40, help="mutants of each file")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--busy", type=float, default=1.0, help="how often slower the machine was with the coverage")
    options.add_argument("--only", nargs="*", help="names of files, without underscore and suffix")
    options.add_argument("--survivors", action="store_true", help="only those that have survived so far")
    options.add_argument("--tests", nargs="*", help="run these, instead of those that came by the line")
    options.add_argument("--table", action="store_true", help="print the table of what is known, and end")
    options = options.parse_args()
    outcomes = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.table:
        return print(table(outcomes))
    reached, seconds = load(options.coverage, options.report)
    import_frameworks()
    print(f"{len(os.listdir('/proc/self/task'))} threads at the fork", flush=True)
    log = options.results.with_suffix(".log")
    for path in files(options.only):
        numbers = list(range(number_of_mutants(path)))
        random.Random(f"{options.seed} {path.name}").shuffle(numbers)
        left, checked = options.sample, False
        for number in numbers:
            key = f"{path.relative_to(PACKAGE)}:{number}"
            known = outcomes.get(key, {}).get("result")
            if left <= 0:
                break
            if known != ("survived" if options.survivors else None):
                left -= known is not None
                continue
            mutant = Mutant(path, number)
            tests = options.tests or in_order(mutant.tests(reached.get(str(path), {})), seconds, options.busy)
            if not tests:
                continue
            if not checked and not options.survivors:
                checked = True
                if run(None, tests, log) != "survived":
                    print(f"{path.name}: the tests fail without a mutant\n{log.read_text()[-3000:]}", flush=True)
                    break
            start = time.monotonic()
            result = run(mutant, tests, log)
            left -= 1
            outcomes[key] = {"what": str(mutant), "result": result, "tests": len(tests)}
            options.results.write_text(json.dumps(outcomes, indent=1))
            print(f"{result:9} {time.monotonic() - start:5.1f}s {len(tests):4} tests  {mutant}", flush=True)
    print(table(outcomes))


if __name__ == "__main__":
    main()
