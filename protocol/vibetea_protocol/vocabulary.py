"""Closed lists. A word of Claude Code's that is not here never leaves the daemon: it becomes `custom` or `other`.

Source of the names: Claude Code 2.1.330, its documentation and its recorded payloads.
"""

from typing import Final, Literal

TOOLS: Final = frozenset(
    """
    Agent AskUserQuestion Bash BashOutput CronCreate CronDelete CronList Edit EnterPlanMode EnterWorktree
    ExitPlanMode ExitWorktree Glob Grep KillBash KillShell LS LSP ListMcpResourcesTool Monitor MultiEdit
    NotebookEdit NotebookRead PowerShell Read ReadMcpResourceTool ScheduleWakeup SendMessage Skill SlashCommand
    StructuredOutput Task TaskCreate TaskGet TaskList TaskOutput TaskStop TaskUpdate TeamCreate TeamDelete
    TodoRead TodoWrite ToolSearch WebFetch WebSearch Workflow Write
    """.split()
)
"""Built-in tools, passed by name."""

AGENT_TYPES: Final = frozenset(
    "claude claude-code-guide Explore general-purpose output-style-setup Plan statusline-setup".split()
)
"""Built-in subagent types; everything else is `custom`."""

SKILLS: Final = frozenset(
    """
    add-dir agents batch bug clear color commit compact config context copy cost debug diff doctor effort exit
    export extra-usage fast feedback fork help hooks ide init insights install-github-app keybindings login logout
    loop mcp memory model output-style passes permissions plan plugin pr-comments privacy-settings release-notes
    reload-plugins remote-control rename resume review rewind sandbox schedule security-review simplify skills
    stats status statusline tasks terminal-setup theme todos upgrade usage vim voice
    """.split()
)
"""Built-in slash commands and bundled skills; everything else is `custom`."""

LANGUAGES: Final = {
    **dict.fromkeys(("py", "pyi", "ipynb"), "python"),
    **dict.fromkeys(("js", "mjs", "cjs", "jsx"), "javascript"),
    **dict.fromkeys(("ts", "tsx", "mts"), "typescript"),
    **dict.fromkeys(("c", "h", "cc", "cpp", "hpp"), "c"),
    **dict.fromkeys(("sh", "bash", "zsh"), "shell"),
    **dict.fromkeys(("html", "css", "scss", "vue", "svelte"), "web"),
    **dict.fromkeys(("json", "toml", "yaml", "yml", "ini", "xml"), "config"),
    **dict.fromkeys(("md", "rst", "txt"), "text"),
    **dict.fromkeys(("java", "kt", "scala"), "jvm"),
    **dict.fromkeys(("go", "rs", "rb", "php", "sql", "swift", "cs"), "code"),
}
"""File extension to the class that level `strict` lets pass instead of a file name."""

AgentState = Literal[
    "working",
    "waiting_permission",
    "waiting_input",
    "interrupted",
    "compacting",
    "compacted",
    "finished",
]
ActivityKind = Literal[
    "prompt",
    "machine",
    "cwd_changed",
    "config_changed",
    "instructions_loaded",
    "directory_added",
    "worktree_removed",
    "model_switched",
    "setup",
    "teammate_idle",
    "notification",
    "other",
]
ErrorCategory = Literal[
    "rate_limit",
    "overloaded",
    "authentication_failed",
    "billing_error",
    "invalid_request",
    "server_error",
    "max_output_tokens",
    "unknown",
]
SessionAction = Literal["started", "ended"]
SessionHow = Literal["startup", "resume", "clear", "fork", "other"]
SessionReason = Literal["clear", "resume", "logout", "prompt_input_exit", "killed", "other"]
ToolStatus = Literal["started", "completed"]
Outcome = Literal["ok", "failed", "interrupted", "refused"]
ClientStatus = Literal["busy", "idle", "waiting"]
"""What a client on this machine says it is at; it never leaves."""
WaitingFor = Literal["permission", "question"]
