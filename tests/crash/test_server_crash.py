"""The server dies as in a power cut, at every event: ecm comes back and finishes, or the same command does."""

from collections.abc import Callable

from servers import OwnServer

from crash.applications import applications
from crash.harness import NEW, OLD, STATES, UNEXPLAINED, Project, fill, moves, position, rename_directly, schema


def identity(event: dict[str, object]) -> tuple[object, ...]:
    """What makes an event another one than those before, whenever it comes."""
    return tuple(event.get(name) for name in ("event", "phase", "direction", "key", "what", "done", "state"))


def through(ecm: Project, server: OwnServer, command: str, target: str, seen: set[tuple[object, ...]]) -> list[int]:
    """Run a command until it is done, with an immediate shutdown at each new event; return its exit codes."""
    codes: list[int] = []
    while True:
        process = ecm.start(command, to=target, at="every", signal="SIGSTOP")
        while (event := process.stopped()) is not None:
            if event["event"] != "Waiting" and identity(event) not in seen:
                seen.add(identity(event))
                server.restart("immediate")
            process.go_on()
        outcome = process.wait()
        codes.append(outcome.code)
        assert outcome.code != UNEXPLAINED, str(outcome)
        if outcome.code == 0 or position(ecm.urls["development"]) == (target, None, None):
            return codes
        assert len(codes) < 20, str(outcome)


def test_the_server_may_die_at_any_event(own_server: OwnServer, project: Callable[..., Project]) -> None:
    """With an immediate shutdown at each event of the cycle, nothing is lost, done twice or left undone."""
    for name in ("development", "direct"):
        own_server.create_database(name)
    url, direct = own_server.url("development"), own_server.url("direct")
    fill(url, 120)
    rename_directly(direct)
    planned = schema(url)
    ecm, seen = project(development=url), set[tuple[object, ...]]()
    with applications(url, "planned", survives=True) as running:
        for state in STATES[1:]:
            if state == "contracted":
                running.end_old()
            through(ecm, own_server, "advance", state, seen)
            running.reached(state)
            running.have_written()
            if state == "reads_migrated":
                running.check(OLD, NEW)
    running.check(NEW)
    assert len(seen) > 25
    assert moves(url) == [("forward", state) for state in STATES[1:]]
    assert schema(url) == schema(direct)
    assert planned != schema(url)


def test_the_server_may_die_at_any_event_of_the_way_back(
    own_server: OwnServer, project: Callable[..., Project]
) -> None:
    """With an immediate shutdown at each event of the rollbacks, the schema is what it was and no write is lost."""
    own_server.create_database("development")
    url = own_server.url("development")
    fill(url, 120)
    planned = schema(url)
    ecm, seen = project(development=url), set[tuple[object, ...]]()
    ecm.done("advance", to="reads_migrated")
    with applications(url, "reads_migrated", survives=True) as running:
        through(ecm, own_server, "rollback", "backfilled", seen)
        running.have_written()
        running.check(OLD, NEW)
        running.end_new()
        through(ecm, own_server, "rollback", "planned", seen)
        running.have_written()
    running.check(OLD)
    assert moves(url)[3:] == [("back", "backfilled"), ("back", "planned")]
    assert schema(url) == planned
