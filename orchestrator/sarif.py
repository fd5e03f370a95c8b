"""Findings for code review: SARIF 2.1.0, which code hosts show beside the lines of a change.

"Static Analysis Results Interchange Format (SARIF) Version 2.1.0", OASIS Standard: a log of one run (3.14), the rules
in its driver (3.19.23), a result for each finding (3.27), a location by a relative URI and a region (3.28 to 3.30).
"""

import hashlib
import posixpath
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from orchestrator.detection_reports import DetectedReport, DetectReport

VERSION = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_LEVELS = {"breaking": "error", "lock-hungry": "warning", "note": "note"}
_ABOUT = {
    "breaking": "A version of the application that is running fails.",
    "lock-hungry": "Others wait while a table is read or written as a whole.",
    "note": "Worth knowing.",
}


def log(report: DetectReport, *, version: str, folder: str = "") -> dict[str, Any]:
    """Return a report as a SARIF log.

    Args:
        report: what was found.
        version: ecm's own.
        folder: where the project is in its repository; a code host knows files from there.
    """
    rules = {each.rule: each for each in report.findings}
    order = {rule: number for number, rule in enumerate(rules)}
    driver = {
        "name": "ecm",
        "semanticVersion": version,
        "rules": [_rule(each) for each in rules.values()],
    }
    results = [_result(each, order[each.rule], folder) for each in report.findings]
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }


def _rule(found: DetectedReport) -> dict[str, Any]:
    return {
        "id": found.rule,
        "shortDescription": {"text": f"{found.rule.replace('-', ' ')}."},
        "fullDescription": {"text": _ABOUT[found.level]},
        "defaultConfiguration": {"level": _LEVELS[found.level]},
    }


def _result(found: DetectedReport, rule: int, folder: str) -> dict[str, Any]:
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(posixpath.normpath(posixpath.join(folder, found.path)))},
            # What the tool writes only when it is asked has no line; a host shows it at the head of the file.
            "region": {"startLine": found.line or 1},
        }
    }
    result: dict[str, Any] = {
        "ruleId": found.rule,
        "ruleIndex": rule,
        "level": _LEVELS[found.level],
        "message": {"text": _said(found)},
        "locations": [location],
        "partialFingerprints": {"ecm/v1": _fingerprint(found)},
    }
    if found.covered_by is not None:
        # Hosts show what is suppressed as dealt with.
        why = f"covered by plan {found.covered_by}"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _said(found: DetectedReport) -> str:
    lines = [f"{found.subject}: {found.message}." if found.subject else f"{found.message}."]
    if found.covered_by is not None:
        return f"{lines[0]} Plan {found.covered_by} {found.done_by_plan}; take the statement out of the migration."
    commands = [each.command for each in _offers(found) if each.command]
    lines += [f"{'Later' if found.deferred else 'Safely'}, as a plan: {commands[0]}" if len(commands) == 1 else ""]
    lines += ["Say which it is: " + ", or ".join(commands) if len(commands) > 1 else ""]
    return "\n".join(filter(None, lines))


def _offers(found: DetectedReport) -> Iterable[Any]:
    return (each for each in (found.likely, found.change) if each is not None)


def _fingerprint(found: DetectedReport) -> str:
    """Return what tells a finding from others wherever its line goes."""
    return hashlib.sha256(f"{found.rule}\0{found.path}\0{found.statement}".encode()).hexdigest()
