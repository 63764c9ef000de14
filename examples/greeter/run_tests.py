"""Runs the tests and writes JUnit XML and LCOV.

python3 run_tests.py [junit.xml [lcov.info]]
"""

import dis
import sys
import time
import trace
import unittest
from pathlib import Path
from types import CodeType
from xml.etree import ElementTree as xml  # nosec B405


class Result(unittest.TextTestResult):
    """Keeps the time and the outcome of each test."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.cases: list[xml.Element] = []
        self._started = 0.0

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self._started = time.monotonic()
        classname, _, name = test.id().rpartition(".")
        self.cases.append(xml.Element("testcase", classname=classname, name=name))

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        self.cases[-1].set("time", f"{time.monotonic() - self._started:.3f}")

    def addFailure(self, test, err) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note("failure", err, self.failures[-1][1])

    def addError(self, test, err) -> None:  # noqa: N802
        super().addError(test, err)
        self._note("error", err, self.errors[-1][1])

    def addSubTest(self, test, subtest, err) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            is_failure = issubclass(err[0], test.failureException)
            noted = self.failures if is_failure else self.errors
            self._note("failure" if is_failure else "error", err, noted[-1][1])

    def addSkip(self, test, reason) -> None:  # noqa: N802
        super().addSkip(test, reason)
        if self.cases:
            xml.SubElement(self.cases[-1], "skipped", message=reason)

    def _note(self, kind: str, err, text: str) -> None:
        # A class that cannot be set up fails without a test.
        if not self.cases:
            self.cases.append(
                xml.Element("testcase", classname="setup", name="setup", time="0")
            )
        message = str(err[1]).partition("\n")[0]
        note = xml.SubElement(
            self.cases[-1], kind, type=err[0].__name__, message=message
        )
        note.text = text


def write(path: Path, result: Result, seconds: float) -> None:
    """Writes the results."""
    counts = {
        kind: str(sum(case.find(kind[:-1]) is not None for case in result.cases))
        for kind in ("failures", "errors")
    }
    skipped = str(len(result.skipped))
    suite = xml.Element(
        "testsuite",
        name="greeter",
        tests=str(len(result.cases)),
        skipped=skipped,
        time=f"{seconds:.3f}",
        **counts,
    )
    suite.extend(result.cases)
    suites = xml.Element("testsuites")
    suites.append(suite)
    xml.indent(suites)
    xml.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def lines_of(code: CodeType) -> set[int]:
    """The lines of a module that can be run."""
    lines = {line for _, line in dis.findlinestarts(code) if line}
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return lines.union(*map(lines_of, inner))


def write_coverage(path: Path, module: Path, counts: dict) -> None:
    """Writes which lines of a module were run, as LCOV."""
    lines = sorted(lines_of(compile(module.read_text(), str(module), "exec")))
    hits = [f"DA:{line},{counts.get((str(module), line), 0)}" for line in lines]
    path.write_text("\n".join([f"SF:{module.name}", *hits, "end_of_record", ""]))


def main() -> int:
    names = [*sys.argv[1:], *["junit.xml", "lcov.info"][len(sys.argv) - 1 :]]
    folder = Path(__file__).resolve().parent
    ignored = [sys.prefix, sys.exec_prefix]
    tracer = trace.Trace(count=True, trace=False, ignoredirs=ignored)

    def run() -> Result:
        tests = unittest.defaultTestLoader.discover(
            str(folder), top_level_dir=str(folder)
        )
        return unittest.TextTestRunner(resultclass=Result, verbosity=2).run(tests)

    started = time.monotonic()
    result = tracer.runfunc(run)
    write(Path(names[0]), result, time.monotonic() - started)
    write_coverage(Path(names[1]), folder / "app.py", tracer.results().counts)
    # Without a test nothing was shown to work.
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
