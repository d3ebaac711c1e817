"""What the real command line of Supabase makes of our folder."""

from tests.supabase.cli import Project
from tests.supabase.stack import Stack


def test_the_configuration_is_accepted_without_a_warning(project: Project) -> None:
    assert _complaints(project) == ""
    config = project.folder / "config.toml"
    config.write_text(config.read_text() + "\n[inbucket]\nenabled = true\n")
    assert "inbucket" in _complaints(project)


def test_supabases_own_advisors_find_nothing(stack: Stack, database: str, project: Project) -> None:
    url = stack.postgres.url(database, "postgres")
    done = project.run("db", "advisors", f"--remote={url}?sslmode=disable", "--level=warn", "--fail-on=warn")
    assert (done.returncode, "No issues found" in done.stderr) == (0, True), done.stdout + done.stderr


def test_a_migration_that_fails_leaves_nothing_and_can_be_mended(stack: Stack, project: Project) -> None:
    url = stack.postgres.project("mended")
    migration = project.folder / "migrations/29990101000000_more.sql"
    migration.write_text("create table public.half (id integer);\nselect 1 / 0;\n")
    made = """
        select to_regclass('public.half')::text, array_agg(version order by version)
        from supabase_migrations.schema_migrations
    """
    done = project.run("db", "push", f"--remote={url}?sslmode=disable", "--yes")
    assert (done.returncode, "division by zero" in done.stderr) == (1, True), done.stdout + done.stderr
    ours = sorted(file.name.partition("_")[0] for file in project.folder.glob("migrations/*.sql"))
    with stack.postgres.connect("mended") as admin:
        assert admin.execute(made).fetchone() == (None, ours[:-1])
        migration.write_text("create table public.half (id integer);\n")
        project.push(url)
        assert admin.execute(made).fetchone() == ("half", ours)


def _complaints(project: Project) -> str:
    """It reads the configuration, and leaves with 0 whatever it thinks of it."""
    done = project.run("services")
    return done.stderr
