"""The privacy rules as tables, and as properties over any input."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibetea_protocol import Level, Rules
from vibetea_protocol import vocabulary as v

KEY = b"k" * 32
SESSION = "550e8400-e29b-41d4-a716-446655440000"
NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._-]{0,63}\Z")
ALIAS = re.compile(r"p-[0-9a-f]{8}\Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
CREDENTIALS = [
    "sk-ant-api03-abcdef",
    "my-sk-live",
    "rk_live_abc",
    "ghp_abcdefghijklmnop",
    "github_pat_11AAAA",
    "glpat-xyz",
    "xoxb-123",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.x",
    "192.168.1.17",
    "d41d8cd98f00b204e9800998ecf8427e",
]
NOT_PLAIN = [
    "",
    "..",
    "a b",
    "a:b",
    "=cmd",
    "-x",
    "+x",
    "@x",
    "a\n",
    "a\0",
    "ä",
    "a\u202eb",
    "<b>",
    "x" * 65,
    "a\x1b[m",
]


@pytest.fixture
def standard() -> Rules:
    return Rules(KEY, "laptop", home="/home/anna")


@pytest.fixture
def strict() -> Rules:
    return Rules(KEY, "laptop", level=Level.STRICT, home="/home/anna")


@pytest.mark.parametrize(
    ("cwd", "project"),
    [
        ("/home/anna/shop", "shop"),
        ("/home/anna/shop/", "shop"),
        ("/home/anna/src/client/web.shop_2", "web.shop_2"),
        ("/home/anna/shop/.claude/worktrees/fix-login", "shop"),
        ("/home/anna/shop/.claude/worktrees/fix-login/src", "shop"),
        ("/home/anna/shop/.claude", ".claude"),
        ("/home/anna/task-runner", "task-runner"),
        ("/home/anna/desk_app", "desk_app"),
    ],
)
def test_project_is_the_last_component(standard: Rules, cwd: str, project: str) -> None:
    assert standard.project(cwd) == project


@pytest.mark.parametrize(
    "cwd",
    [
        "/home/anna",
        "/home/anna/",
        "/home/anna/.",
        "/home//anna",
        "/home/anna/.claude/worktrees/x",
        "/home/somebody",
        "/mnt/c/Users/somebody",
        "/var/home/somebody",
        "/export/home/somebody",
        "/private/var/root",
        "/Users/somebody",
        "/root",
    ],
)
def test_home_is_told_by_no_name(standard: Rules, strict: Rules, cwd: str) -> None:
    assert standard.project(cwd) == "home"
    assert strict.project(cwd) == "home"


@pytest.mark.parametrize("cwd", ["/srv/anna", "/mnt/backup/anna", "/home/anna/shop/../../anna"])
def test_name_of_the_person_never_passes(standard: Rules, cwd: str) -> None:
    assert "anna" not in standard.project(cwd)
    assert standard.basename(cwd) == "[filtered]"


@pytest.mark.parametrize("name", [*NOT_PLAIN, *CREDENTIALS])
def test_what_is_no_plain_name_has_an_alias(standard: Rules, name: str) -> None:
    assert ALIAS.match(standard.project(f"/srv/{name}/.claude/worktrees/x" if name else "/"))
    if name not in {"", ".."}:
        assert standard.basename(f"/srv/{name}") == "[filtered]"


def test_alias_tells_projects_apart_and_stays(standard: Rules, strict: Rules) -> None:
    assert standard.project("/a/b c") == standard.project("/elsewhere/b c") != standard.project("/a/b d")
    assert strict.project("/a/shop") == strict.project("/b/shop") != strict.project("/a/till")
    assert strict.project("/a/shop") != Rules(b"j" * 32, "laptop", level=Level.STRICT).project("/a/shop")


@pytest.mark.parametrize(
    ("raw", "standard_name", "strict_name"),
    [
        ("Read", "Read", "Read"),
        ("Bash", "Bash", "Bash"),
        ("mcp__github__search", "mcp__github__search", "mcp"),
        ("mcp__secret server__x", "mcp", "mcp"),
        ("mcp__" + "x" * 60, "mcp", "mcp"),
        ("mcp__x__sk-ant-api03", "mcp", "mcp"),
        ("mcp__", "mcp", "mcp"),
        ("read", "other", "other"),
        ("Read ", "other", "other"),
        ("CompanyTool", "other", "other"),
        ("", "other", "other"),
    ],
)
def test_tool(standard: Rules, strict: Rules, raw: str, standard_name: str, strict_name: str) -> None:
    assert standard.tool(raw) == standard_name
    assert strict.tool(raw) == strict_name


@pytest.mark.parametrize(
    ("path", "plain", "language"),
    [
        ("/home/anna/shop/auth.ts", "auth.ts", "typescript"),
        ("C:\\Users\\anna\\auth.PY", "auth.PY", "python"),
        ("auth.py", "auth.py", "python"),
        ("/x/Makefile", "Makefile", None),
        ("/x/.env", ".env", None),
        ("/x/salary list.py", "[filtered]", "python"),
        ("/x/" + "y" * 70 + ".py", "[filtered]", "python"),
        ("", "[filtered]", None),
        ("/", "[filtered]", None),
    ],
)
def test_basename(standard: Rules, strict: Rules, path: str, plain: str, language: str | None) -> None:
    assert standard.basename(path) == plain
    assert strict.basename(path) == language


def test_basename_with_an_allow_list() -> None:
    some = Rules(KEY, "laptop", extensions=frozenset({"py", "ts"}))
    assert [some.basename(path) for path in ("/a.py", "/a.PY", "/b.md", "/Makefile", "/py")] == [
        "a.py",
        "a.PY",
        "[filtered]",
        "[filtered]",
        "[filtered]",
    ]
    none = Rules(KEY, "laptop", extensions=frozenset())
    assert none.basename("/a.py") == none.basename("/Makefile") == "[filtered]"


@pytest.mark.parametrize(
    "raw", [SESSION, SESSION.upper(), SESSION.replace("-", ""), f"{{{SESSION}}}", f"urn:uuid:{SESSION}"]
)
def test_session_in_every_form_of_the_contract(standard: Rules, raw: str) -> None:
    assert standard.session(raw) == SESSION


def test_session_that_is_none_or_strict_is_keyed(standard: Rules, strict: Rules) -> None:
    for told in (standard.session("anna's session"), strict.session(SESSION), strict.session("x")):
        assert UUID.match(told)
    assert strict.session(SESSION) != SESSION
    assert strict.session(SESSION) == strict.session(SESSION)
    assert standard.session("a") != standard.session("b")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("claude-haiku-4.5-20251001", "claude-haiku-4.5-20251001"),
        ("gpt-4", "other"),
        ("claude-", "other"),
        ("claude-Opus", "other"),
        ("claude-" + "x" * 41, "other"),
        ("arn:aws:bedrock:us-east-1:123456789012:model/claude-opus", "other"),
        ("claude-x\n", "other"),
        ("", "other"),
    ],
)
def test_model(standard: Rules, strict: Rules, raw: str, told: str) -> None:
    assert standard.model(raw) == strict.model(raw) == told


@pytest.mark.parametrize(("raw", "told"), [("a072439bd66e786b1", "a072439bd66e786b1"), ("", None)])
def test_agent(standard: Rules, raw: str, told: str | None) -> None:
    assert standard.agent(raw) == told


def test_agent_that_is_not_plain_or_strict_is_keyed(standard: Rules, strict: Rules) -> None:
    for told in (standard.agent("Anna's agent"), standard.agent("a" * 65), strict.agent("a072439bd66e786b1")):
        assert told is not None
        assert re.fullmatch(r"[0-9a-f]{16}", told)
    assert strict.agent("") is None


def test_words_of_closed_lists(standard: Rules) -> None:
    assert [standard.agent_type(raw) for raw in ("Explore", "explore", "annas-reviewer", "")] == [
        "Explore",
        "custom",
        "custom",
        "custom",
    ]
    assert [standard.skill(raw) for raw in ("review", "/review", "//review", "deploy-annas-site", "")] == [
        "review",
        "review",
        "custom",
        "custom",
        "custom",
    ]


@pytest.mark.parametrize(
    ("raw", "coarse"), [(-5, 0), (0, 0), (1, 1), (2, 2), (3, 4), (1000, 1024), (1024, 1024), (1025, 2048)]
)
def test_count(standard: Rules, strict: Rules, raw: int, coarse: int) -> None:
    assert standard.count(raw) == max(raw, 0)
    assert strict.count(raw) == coarse


def test_timestamp(standard: Rules, strict: Rules) -> None:
    assert standard.timestamp(1_795_389_986_495_698_200) == "2026-11-22T23:26:26.495Z"
    assert strict.timestamp(1_795_389_986_495_698_200) == "2026-11-22T23:26:26.000Z"
    assert standard.timestamp(0) == "1970-01-01T00:00:00.000Z"
    for impossible in (2**63 * 1_000_000_000, -(2**63) * 1_000_000_000):
        with pytest.raises((OverflowError, OSError, ValueError)):
            standard.timestamp(impossible)


# any input

anything = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Cf", "L"])) | st.sampled_from(CREDENTIALS)
paths = anything | st.lists(anything, max_size=5).map(lambda parts: "/" + "/".join(parts))
levels = st.sampled_from([Rules(KEY, "laptop", level=level, home="/home/anna") for level in Level])


@given(levels, paths)
def test_any_project_is_a_name_or_an_alias(rules: Rules, cwd: str) -> None:
    told = rules.project(cwd)
    assert NAME.match(told)
    assert told != "anna"
    if rules.strict:
        assert told == "home" or ALIAS.match(told)
    elif not ALIAS.match(told) and told != "home":
        assert told in cwd.split("/")
    assert rules.project(f"/{told}") == told or rules.strict


@given(levels, paths)
def test_any_basename_is_a_name_of_that_path(rules: Rules, path: str) -> None:
    told = rules.basename(path)
    if rules.strict:
        assert told is None or told in v.LANGUAGES.values()
    else:
        assert told == "[filtered]" or (NAME.match(told or "") and told in re.split(r"[/\\]", path))
        assert told is not None
        assert rules.basename(told) == told


@given(levels, anything | st.sampled_from(sorted(v.TOOLS)) | anything.map("mcp__".__add__))
def test_any_tool(rules: Rules, raw: str) -> None:
    told = rules.tool(raw)
    assert told in v.TOOLS | {"other", "mcp"} or (not rules.strict and told == raw and NAME.match(told))
    assert told in {"mcp", "other"} or rules.tool(told) == told


@given(levels, anything)
def test_any_word(rules: Rules, raw: str) -> None:
    assert UUID.match(rules.session(raw))
    assert rules.agent_type(raw) in v.AGENT_TYPES | {"custom"}
    assert rules.skill(raw) in v.SKILLS | {"custom"}
    assert re.fullmatch(r"claude-[a-z0-9.-]{1,40}|other", rules.model(raw))
    assert re.fullmatch(r"[a-z0-9]{1,64}", rules.agent(raw) or "none")
    assert rules.strict or rules.session(rules.session(raw)) == rules.session(raw)


@given(levels, st.integers())
def test_any_count_is_one_the_wire_carries(rules: Rules, raw: int) -> None:
    told = rules.count(raw)
    assert 0 <= told < 2**53
    assert rules.count(told) == told
    assert not rules.strict or told.bit_count() <= 1


@given(levels, st.integers(1, 2**63))
def test_any_timestamp_is_of_the_contracts_form(rules: Rules, nanoseconds: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rules.timestamp(nanoseconds))
