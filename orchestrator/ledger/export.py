"""A ledger as JSON Lines, for an archive, and the check of such a file without the ledger. Pure.

The first line is a header: `format_version`, `ledger` (its name), `plan` (null, or the only plan whose entries these
are), `exported_at`, `entries` (how many follow), and `head` (`seq` and `hash` of the ledger's last entry). Each line
after it is one entry, in the order of the chain: the very object whose text is hashed (see `chain`), with its `hash`.
So to check a line without ecm: take `hash` out, write the rest as the recipe says, and compare.

A column that holds what ecm never writes is written as it is, `data` that is no canonical JSON as the string it is:
an export of a ledger that was tampered with shows that as the ledger does.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from typing import Any, cast

from orchestrator.errors import InvalidFileError
from orchestrator.ledger.audit import ChainProblem, ChainReport, examine
from orchestrator.ledger.chain import EMPTY, GENESIS, Head, Record, digest
from orchestrator.ledger.events import canonical

FORMAT_VERSION = 1
_COLUMNS = tuple(field.name for field in fields(Record))


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A ledger at one moment.

    Attributes:
        records: all rows, in the order of `seq`.
        head: the note of the last entry; None where it is gone.
        taken_at: by the ledger's database, as `events.timestamp` writes it; None where there is no ledger yet.
    """

    records: tuple[Record, ...]
    head: Head | None
    taken_at: str | None


@dataclass(frozen=True, kw_only=True)
class Export:
    """What a file of an export says of itself, and whether it holds.

    Attributes:
        ledger, plan, exported_at: as the header has them.
        report: the verdict; of one plan's entries, each is checked by itself, and the chain between them is not.
    """

    ledger: str
    plan: str | None
    exported_at: str
    report: ChainReport


def render(snapshot: Snapshot, *, ledger: str, plan: str | None, exported_at: str) -> Iterator[str]:
    """Give the lines of an export, without their ends.

    Args:
        snapshot: what the ledger holds.
        ledger: its name, without a password.
        plan: only this plan's entries; all where it is None.
        exported_at: when, as `events.timestamp` writes it.
    """
    records = [each for each in snapshot.records if plan in (None, each.plan)]
    last = snapshot.records[-1] if snapshot.records else None
    head = snapshot.head or (Head(seq=last.seq, hash=last.hash) if last else EMPTY)
    yield canonical(
        {
            "format_version": FORMAT_VERSION,
            "ledger": ledger,
            "plan": plan,
            "exported_at": exported_at,
            "entries": len(records),
            "head": asdict(head),
        }
    )
    for record in records:
        yield canonical({name: _outward(name, value) for name, value in asdict(record).items()})


def _outward(column: str, value: object) -> object:
    if column == "data" and isinstance(value, str):
        try:
            data: object = json.loads(value)
            if isinstance(data, dict) and canonical(cast("dict[str, object]", data)) == value:
                return cast("dict[str, object]", data)
        except (ValueError, RecursionError):
            pass
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def check(text: str, *, file: str) -> Export:
    """Check an export line by line, and its chain as a ledger's is checked.

    Args:
        text: the file's.
        file: its name, for errors.

    Raises:
        InvalidFileError: it is no export, or one of a newer ecm.
    """
    first, *rest = [line.removesuffix("\r") for line in text.split("\n")]
    header = _header(first, file)
    if rest and _json(rest[-1]) is None:
        rest.pop()  # the end of the last line; or what is left of one that was cut through
    lines = [line for line in rest if line]
    note = cast("Mapping[str, Any]", header["head"])
    head = Head(seq=note["seq"], hash=str(note["hash"]))
    plan = cast("str | None", header.get("plan"))
    if plan is None:
        report = _whole(lines, head)
    else:
        records = [_record(line, seq) for seq, line in enumerate(lines, 1)]
        problems = tuple(_each(records, int(header["entries"]), plan))
        report = ChainReport(entries=len(records), head=head.hash, problems=problems)
    if not report.problems and (canonical(header) != first or header["entries"] != len(lines)):
        message = f"the header was changed: it does not fit the {len(lines)} entries after it, or is written otherwise"
        report = report.model_copy(update={"problems": (ChainProblem(seq=0, kind="changed", message=message),)})
    return Export(ledger=str(header["ledger"]), plan=plan, exported_at=str(header["exported_at"]), report=report)


def _whole(lines: Sequence[str], head: Head) -> ChainReport:
    """Check a chain whose lines stand in the order of their numbers, if nobody moved them."""
    records, doubtful, copies = _numbered(lines)
    in_order = sorted(records, key=lambda record: record.seq)
    found = examine(in_order, head)
    problems = [*found.problems, *copies]
    accused = {problem.seq for problem in problems}
    problems += [
        ChainProblem(seq=seq, kind="changed", message=f"entry {seq} was changed: its line is not as it was written")
        for seq in doubtful
        if seq not in accused
    ]
    if not problems:
        problems += [
            ChainProblem(seq=here.seq, kind="reordered", message=f"entry {here.seq} was moved to another line")
            for here, there in zip(records, in_order, strict=True)
            if here is not there
        ]
    problems.sort(key=lambda problem: (problem.seq, problem.kind))
    return found.model_copy(update={"entries": len(lines), "problems": tuple(problems)})


def _numbered(lines: Sequence[str]) -> tuple[list[Record], list[int], list[ChainProblem]]:
    """Read entries, each with a number of its own.

    A table has no two rows of a number, and a file may: of those, the one that gives its hash has it, what gives its
    hash too is a copy, and any other is taken for what should stand in its line.

    Returns:
        The entries; the numbers of those whose line is not written as an entry is, or has another number; and copies.
    """
    read = _linked([_record(line, 0) for line in lines])
    sound = {record.seq: record for record in reversed(read) if _gives_hash(record)}
    taken = {*sound, *(record.seq for record in read)}
    records, doubtful, copies = list[Record](), list[int](), list[ChainProblem]()
    seen: set[int] = set()
    for record, line in zip(read, lines, strict=True):
        keeper, seq = sound.get(record.seq), record.seq
        if keeper is not None and keeper is not record and _gives_hash(record):
            copies.append(ChainProblem(seq=seq, kind="inserted", message=f"entry {seq} was inserted: it is here twice"))
            continue
        if seq == 0 or seq in seen or (keeper is not None and keeper is not record):
            before = records[-1].seq if records else 0
            seq = next(number for number in count(before + 1) if number not in taken)
            taken.add(seq)
        seen.add(seq)
        records.append(replace(record, seq=seq))
        if seq != record.seq or not _is_as_written(line):
            doubtful.append(seq)
    return records, doubtful, copies


def _linked(read: list[Record]) -> list[Record]:
    """Give what is no entry any more the place between its neighbours, so that it alone is accused."""
    for place, record in enumerate(read):
        if not record.hash and not record.previous_hash:
            before = read[place - 1].hash if place else GENESIS
            after = read[place + 1].previous_hash if place + 1 < len(read) else ""
            read[place] = replace(record, previous_hash=before, hash=after)
    return read


def _is_as_written(line: str) -> bool:
    read = _json(line)
    return isinstance(read, dict) and canonical(cast("dict[str, object]", read)) == line


def _each(records: Sequence[Record], expected: int, plan: str) -> Iterator[ChainProblem]:
    """Check entries that are not all of a chain, each by itself."""
    before = 0
    for record in records:
        seq = record.seq
        if not _gives_hash(record):
            yield ChainProblem(
                seq=seq, kind="changed", message=f"entry {seq} was changed: its fields no longer give its hash"
            )
        elif record.plan != plan:
            yield ChainProblem(seq=seq, kind="inserted", message=f"entry {seq} was inserted: it is not of {plan}")
        elif seq == before:
            yield ChainProblem(seq=seq, kind="inserted", message=f"entry {seq} was inserted: it stands here twice")
        elif seq < before:
            yield ChainProblem(seq=seq, kind="reordered", message=f"entry {seq} was moved here from before {before}")
        before = max(before, seq)
    if len(records) < expected:
        message = f"{len(records)} of {expected} entries are here; of one plan, which are gone cannot be told"
        yield ChainProblem(seq=before, kind="removed", message=message)
    if len(records) > expected:
        message = f"{len(records)} entries are here, and there were {expected}; which came since cannot be told"
        yield ChainProblem(seq=before, kind="inserted", message=message)


def _gives_hash(record: Record) -> bool:
    try:
        return digest(record) == record.hash
    except ValueError:
        return False


def _header(line: str, file: str) -> dict[str, Any]:
    header = _json(line)
    head = cast("dict[str, object]", header).get("head") if isinstance(header, dict) else None
    if not isinstance(head, dict) or not isinstance(cast("dict[str, object]", head).get("seq"), int):
        raise InvalidFileError(
            f"{file} is not an export of a ledger", details=["its first line is not the header of one"]
        )
    known = cast("dict[str, Any]", header)
    if known.get("format_version") != FORMAT_VERSION or not {"ledger", "exported_at", "entries"} <= known.keys():
        raise InvalidFileError(f"{file} was exported by another ecm", hint="check it with the ecm that exported it")
    return known


def _record(line: str, otherwise: int) -> Record:
    """Read an entry; of a line that is none, what can be read of it, which the check will point at.

    Args:
        line: the entry's.
        otherwise: its number, where it has none.
    """
    read: Any = _json(line)
    found = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    data = found.get("data")
    values: dict[str, Any] = {name: found.get(name) for name in _COLUMNS}
    values["data"] = canonical(cast("dict[str, object]", data)) if isinstance(data, dict) else data
    if set(found) != set(_COLUMNS):
        values["data"] = line  # no canonical JSON object: it gives no hash
    if type(values["seq"]) is not int:
        values["seq"] = otherwise
    for name in ("hash", "previous_hash"):
        values[name] = values[name] if isinstance(values[name], str) else ""
    return Record(**values)


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
