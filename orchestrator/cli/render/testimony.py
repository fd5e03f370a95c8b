"""What people say of a plan on a branch, on screen; and how a plan's text differs there."""

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look, plans, words
from orchestrator.reports import ApprovalReport, AttestReport, TextReport
from orchestrator.words import counted

_LABEL = 10


def attested(report: AttestReport) -> RenderableType:
    """Return what was taken down, and all that stands."""
    where = f"the application beside {report.branch} {report.says}"
    said = f"withdrawn: {where}" if report.withdrawn else f"{where}: version {report.version}, says {report.actor}"
    rows = [(each.claim, f"version {each.version}, by {each.actor}") for each in report.standing]
    standing = (
        look.stacked(
            Text(),
            look.indented(Text(f"attested for {report.plan} there", style="dim")),
            look.indented(look.labelled(rows, width=20)),
        )
        if rows
        else None
    )
    mark = look.NONE if report.withdrawn else look.GOOD
    return look.stacked(look.item(mark, said), standing, *look.onward([report.next_command]))


def approval(report: ApprovalReport) -> RenderableType:
    """Return what is approved of; once it was recorded, how many have and until when it counts."""
    head = look.heading(f"{report.plan} on {report.branch}: {words.state(report.to)}")
    evidence = [look.indented(look.item("·", line)) for line in report.evidence]
    unmet = [Text(), look.indented(Text("still to come", style="dim")), *plans.conditions(report.unmet)]
    body = look.stacked(head, Text(), *evidence, *(unmet if report.unmet else ()))
    if report.expires_at is None:
        return body
    given = f"{counted(report.given, 'approval')}, {report.needed} needed"
    until = (
        f"by {report.actor}, for somebody else to contract, until {words.moment(report.expires_at)} or until a line"
        " above changes or is added"
    )
    return look.stacked(
        body, Text(), look.item(look.GOOD, f"approved {until}; {given}"), *look.onward([report.next_command])
    )


def text(report: TextReport) -> RenderableType:
    """Return how a plan's file differs from the text that a branch is on."""
    where = f"{report.plan} on {report.branch}"
    if not report.begun:
        said = f"{where} has not begun: it will be on the text of the file"
        return look.stacked(look.item(look.NONE, said), *look.onward([report.next_command]))
    if not report.differences:
        said = f"{where} is on the text of the file, {words.state(report.state)}"
        return look.stacked(look.item(look.GOOD, said), *look.onward([report.next_command]))
    said = f"{where} is {words.state(report.state)} on another text than the file's"
    lines = (look.indented(Text(line), 4) for line in report.differences)
    return look.stacked(look.item(look.BAD, said), *lines, *look.onward([report.next_command]))
