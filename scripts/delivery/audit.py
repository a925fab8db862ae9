"""`python -m scripts.delivery.audit`: look every locked package up among the known vulnerabilities.

pip-audit does it. One in a package that the image holds fails; those of packages that only train, deploy and
test are listed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALL, SHIPPED = "requirements.lock", "container/requirements.lock"
PASSED, FAILED, SKIPPED = 0, 1, os.EX_TEMPFAIL
ANSWER_S = 10  # of the database, for one package
# Vulnerabilities that do no harm here, each with the reason: {"PYSEC-2031-1": "the server never reads TIFF"}.
ACCEPTED: dict[str, str] = {}
# What pip-audit's last words say where it is the network or the database that failed, not the lock files.
_UNREACHED = re.compile(
    r"requests\.exceptions\.|Could not connect|not redirecting|ServiceError|blocking this service"
)


class Unreachable(Exception):  # noqa: N818 - it is no error where there is no network
    """The database cannot be asked; the text says why."""


@dataclass(frozen=True)
class Finding:
    """One known vulnerability of one package."""

    package: str
    id: str
    fixed_in: tuple[str, ...]
    shipped: bool

    def __str__(self) -> str:
        """Say it in one line."""
        remedy = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fix is known"
        return f"{self.package}{', which the image holds' if self.shipped else ''}: {self.id}, {remedy}"


@dataclass(frozen=True)
class Report:
    """What the database says."""

    audited: int
    unknown: tuple[str, ...]
    findings: tuple[Finding, ...]


def main() -> int:
    """Audit, say what was found, and return `PASSED`, `FAILED` or `SKIPPED`."""
    try:
        report = audit()
    except Unreachable as reason:
        print(f"pip-audit: skipped, no database of vulnerabilities can be asked here: {reason}")
        return SKIPPED
    except ValueError as error:
        print(f"pip-audit: failed:\n{error}", file=sys.stderr)
        return FAILED
    print(f"pip-audit: {report.audited} packages looked up, {len(report.findings)} known vulnerabilities.")
    if report.unknown:
        print(f"pip-audit: not in its database: {', '.join(report.unknown)}.")
    for finding in report.findings:
        print(f"pip-audit: {finding}.")
    if any(finding.shipped for finding in report.findings):
        print("Take a fixed version (scripts/lock --upgrade), or accept it with a reason in this file.")
        return FAILED
    return PASSED


def audit() -> Report:
    """Ask for both lock files.

    Raises
    ------
    Unreachable
        The database does not answer, or knows none of the packages: so does a mirror that has no advisories.
    ValueError
        pip-audit failed for another reason; the text is what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", f"--requirement={ALL}", f"--requirement={SHIPPED}",
         "--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off",
         f"--timeout={ANSWER_S}", *(f"--ignore-vuln={each}" for each in ACCEPTED)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        listed = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if not _UNREACHED.search(done.stderr):
            raise ValueError(done.stderr.strip() or f"it ended with {done.returncode}") from None
        raise Unreachable(done.stderr.strip().splitlines()[-1]) from None
    report = read(listed, shipped=_names(ROOT / SHIPPED))
    if report.audited == 0:
        raise Unreachable(f"what answers in its place knows none of {len(report.unknown)} packages")
    return report


def read(listed: list[dict[str, object]], *, shipped: set[str]) -> Report:
    """Read pip-audit's list of packages.

    Parameters
    ----------
    listed
        What its JSON has under `dependencies`.
    shipped
        Names of the packages that the image holds.
    """
    unknown, findings, audited = [], [], 0
    for package in listed:
        name = str(package["name"])
        vulnerabilities = package.get("vulns")
        if not isinstance(vulnerabilities, list):
            unknown.append(name)
            continue
        audited += 1
        findings += [
            Finding(f"{name} {package['version']}", each["id"], tuple(each["fix_versions"]), name in shipped)
            for each in vulnerabilities
        ]
    return Report(audited, tuple(sorted(unknown)), tuple(sorted(findings, key=str)))


def _names(lock: Path) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
