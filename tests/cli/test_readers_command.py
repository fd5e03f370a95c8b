"""`ecm readers`: who still uses the old side, for a person and for a script."""

from cli.runs import PLAN, Project, said


def test_who_still_uses_the_old_side(project: Project) -> None:
    """From backfilled on it says who was seen, since when nobody was, and what it could not see; in 80 columns."""
    here = ("--branch", "development")
    refused = project.ecm("readers", PLAN, *here)
    assert refused.code == 4
    assert "is planned on development" in refused.err
    assert project.ecm("advance", PLAN, *here, "--to", "reads_migrated").code == 0

    quiet = project.ecm("readers", *here)
    assert (quiet.code, quiet.err) == (0, "")
    assert "nobody was seen to read or write the old side since" in said(quiet.out)
    assert "who only reads: pg_stat_statements is not installed here" in said(quiet.out)

    project.sql("development", "UPDATE books SET published_year = 1 WHERE id = 1")
    project.sql(
        "development",
        "CREATE FUNCTION newest_of_all_books() RETURNS int LANGUAGE sql AS 'SELECT max(published_year) FROM books'",
    )
    seen = project.ecm("readers", PLAN, *here)
    assert max(map(len, seen.out.splitlines())) <= 80
    told = said(seen.out)
    assert "✗ writes of books that give published_year by postgres, at least 1 write, last seen just now" in told
    assert "✗ function public.newest_of_all_books: its sql body names published_year" in told
    assert "quiet for" not in told, "what stands in the catalog is there now"
    assert f"next ecm gate {PLAN} --branch development" in told, "advance is refused for the function, and gate says so"

    report = project.ecm("readers", PLAN, *here, "--json").json
    assert report["format_version"] == 1
    assert [use["kind"] for use in report["uses"]] == ["dependent", "write"]
    assert (report["quiet_since"], report["sees_statements"]) == (None, False)
    assert project.ecm("advance", PLAN, *here).code == 4, "contract is refused for the function as before"
