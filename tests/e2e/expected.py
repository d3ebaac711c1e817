"""What each scenario becomes, written by hand.

A line is `marks [xN] session-label story`. `h`: hooks see it. `t`: transcripts see it. `ht`: both do, and must give it
one id. `h?`: hooks may see it once more, because the client ends them at its own end, or reminds the person after a
while.
`?`: every way may see it once more: the client may or may not give a notification a turn of its own.
`c`: whoever watches the clients' own files may see it, if the client lived long enough to be seen.
"""

from typing import Final

TASKS_AT_THE_END: Final = "main todo_progress 1 completed 0 inProgress 1 pending"

EXPECTED: Final = {
    "ten tools": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool list Bash started
        ht main tool list Bash ok
        ht main tool read Read started
        ht main tool read Read ok
        ht main tool count mcp__stock__count started
        ht main tool count mcp__stock__count ok
        ht main tool write Write started
        ht main tool write Write ok
        ht main tool edit Edit started
        ht main tool edit Edit ok
        ht main tool skill Skill started
        ht main skill_invocation custom
        ht main tool skill Skill ok
        ht main tool exit Bash started
        ht main tool exit Bash failed
        ht main tool absent Read started
        ht main tool absent Read failed
        ht main tool none mcp__stock__count started
        ht main tool none mcp__stock__count failed
        ht main tool ruled Bash started
        ht main tool ruled Bash refused
        ht main tool nonesuch other refused
        ht main tool malformed Read refused
        ht main agent waiting_input
        t x5 main token_usage
        h main session ended other
        h main summary
    """,
    "a background agent ends while its parent works": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool send Agent started
        ht main tool send Agent ok
        ht main agent_spawn general-purpose in send
        ht main tool wait Bash started
        ht main tool look Bash started in send
        ht main tool look Bash ok in send
        ht main agent finished in send
        ht main activity machine
        ht main tool wait Bash ok
        ht main agent waiting_input
        ? main token_usage
        ? main agent waiting_input
        t x3 main token_usage
        t x2 main token_usage in send
        h main session ended other
        h main summary
    """,
    "a background agent ends while its parent is idle": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool send Agent started
        ht main tool send Agent ok
        ht main agent_spawn general-purpose in send
        ht main tool look Bash started in send
        ht main agent waiting_input
        ht main tool look Bash ok in send
        ht main agent finished in send
        ht main activity machine
        ht main agent waiting_input
        t x3 main token_usage
        t x2 main token_usage in send
        h main session ended other
        h main summary
    """,
    "a foreground agent with a failing call": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool send Agent started
        ht main agent_spawn Explore in send
        ht main tool look Bash started in send
        ht main tool look Bash failed in send
        ht main tool nonesuch other refused in send
        ht main agent finished in send
        ht main tool send Agent ok
        ht main agent waiting_input
        t x2 main token_usage
        t x2 main token_usage in send
        h main session ended other
        h main summary
    """,
    "a slash command of the project": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main skill_invocation custom
        ht main agent waiting_input
        t main token_usage
        h main session ended other
        h main summary
    """,
    "a session resumed, then forked": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool first Bash started
        ht main tool first Bash ok
        ht main agent waiting_input
        h main session ended other
        h main summary
        h main session started resume
        ht main activity prompt
        ht main agent working
        ht main tool second Bash started
        ht main tool second Bash ok
        ht main agent waiting_input
        t x4 main token_usage
        h main session ended other
        h main summary
        ht fork session started fork
        ht fork activity prompt
        ht fork agent working
        ht fork tool third Bash started
        ht fork tool third Bash ok
        ht fork agent waiting_input
        t x2 fork token_usage
        h fork session ended other
        h fork summary
    """,
    "the model answers with errors": """
        ht overloaded session started startup
        ht overloaded activity prompt
        ht overloaded agent working
        ht overloaded tool before Bash started
        ht overloaded tool before Bash ok
        t overloaded token_usage
        t overloaded error server_error
        h? overloaded error server_error
        h overloaded session ended other
        h overloaded summary
        ht limited session started startup
        ht limited activity prompt
        ht limited agent working
        t limited error rate_limit
        h? limited error rate_limit
        h limited session ended other
        h limited summary
        ht invalid session started startup
        ht invalid activity prompt
        ht invalid agent working
        t invalid error unknown
        h? invalid error unknown
        h invalid session ended other
        h invalid summary
    """,
    "a prompt with a picture": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t main token_usage
        h main session ended other
        h main summary
    """,
    "a client killed during a tool, then resumed": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool cut Bash started
        h main session started resume
        t main tool cut Bash interrupted
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t x2 main token_usage
        c main session ended killed
        c main summary
        h main session ended other
        h main summary
    """,
    "one permission granted, one denied": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool granted Bash started
        h main agent waiting_permission
        h? main agent waiting_permission
        ht main tool granted Bash ok
        ht main agent waiting_input
        ht main activity prompt
        ht main agent working
        ht main tool denied Bash started
        h main agent waiting_permission
        h? main agent waiting_permission
        t main tool denied Bash refused
        t main tool behind Bash refused
        t main agent interrupted
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t x4 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "Escape during a running tool": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool done Read started
        ht main tool done Read ok
        ht main tool cut Bash started
        t main tool cut Bash interrupted
        t main tool behind Bash refused
        t main agent interrupted
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t x2 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "Escape while the model speaks": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        t main agent interrupted
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t x2 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "Escape during a foreground agent": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool send Agent started
        ht main agent_spawn Explore in send
        ht main tool cut Bash started in send
        t main tool cut Bash interrupted in send
        t main agent interrupted in send
        t main tool send Agent interrupted
        t main agent interrupted
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t x2 main token_usage
        t main token_usage in send
        h main session ended prompt_input_exit
        h main summary
    """,
    # a prompt typed while a turn runs has the running prompt's id in its hook: only the transcript can tell it
    "one prompt typed during a tool, one while the model speaks": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool work Bash started
        t main activity prompt
        ht main tool work Bash ok
        ht main agent waiting_input
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t main activity prompt
        t main agent working
        ht main agent waiting_input
        t x4 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "compacted by the person, then by itself": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool early Bash started
        ht main tool early Bash ok
        ht main agent waiting_input
        t main skill_invocation compact
        h main agent compacting
        ht main agent compacted
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        ht main activity prompt
        ht main agent working
        h main agent compacting
        ht main agent compacted
        ht main tool late Bash started
        ht main tool late Bash ok
        ht main agent waiting_input
        t x5 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "cleared": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool early Bash started
        ht main tool early Bash ok
        ht main agent waiting_input
        t x2 main token_usage
        h main session ended clear
        h main summary
        ht cleared session started clear
        t cleared skill_invocation clear
        ht cleared activity prompt
        ht cleared agent working
        ht cleared agent waiting_input
        t cleared token_usage
        h cleared session ended prompt_input_exit
        h cleared summary
    """,
    "branched": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool early Bash started
        ht main tool early Bash ok
        ht main agent waiting_input
        t x2 main token_usage
        h main session ended resume
        h main summary
        ht branch session started fork
        ht branch activity prompt
        ht branch agent working
        ht branch agent waiting_input
        t branch token_usage
        h branch session ended prompt_input_exit
        h branch summary
    """,
    # a shell line (`!`) asks the model, but fires no hook of a prompt
    "a command, a skill, a shell line and another model": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main skill_invocation custom
        ht main agent waiting_input
        ht main activity prompt
        ht main agent working
        ht main skill_invocation custom
        ht main agent waiting_input
        t main activity prompt
        t main agent working
        ht main agent waiting_input
        t main skill_invocation model
        h main activity model_switched
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t x4 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "a list of tasks": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool one TaskCreate started
        ht main tool one TaskCreate ok
        ht main tool two TaskCreate started
        ht main tool two TaskCreate ok
        ht main tool begin TaskUpdate started
        ht main tool begin TaskUpdate ok
        ht main tool complete TaskUpdate started
        ht main tool complete TaskUpdate ok
        ht main agent waiting_input
        t x4 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "a question to the person": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main tool question AskUserQuestion started
        h main agent waiting_permission
        h? main agent waiting_permission
        ht main tool question AskUserQuestion ok
        ht main agent waiting_input
        t x2 main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
    "the model is overloaded, then answers": """
        ht main session started startup
        ht main activity prompt
        ht main agent working
        ht main error server_error
        ht main activity prompt
        ht main agent working
        ht main agent waiting_input
        t main token_usage
        h main session ended prompt_input_exit
        h main summary
    """,
}
