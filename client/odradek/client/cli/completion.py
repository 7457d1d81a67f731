"""`odradek completion bash|zsh|fish`: shell completion, names of topics and groups from the cluster included.

The scripts are short: they ask `odradek completion words -- WORD...` what the last word may become. What that is
follows from the same parsers that parse the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import Any, Final

from odradek.client.cli import exits
from odradek.client.cli.commands import CommandParser, Verbs, say

#: The cluster is asked no longer than that: a shell waits.
LOOK_UP_S: Final = 1.5

_BASH: Final = """\
_odradek() {
    local IFS=$'\\n' cur words cword
    if ! _get_comp_words_by_ref -n =: cur words cword 2>/dev/null; then
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    COMPREPLY=($(odradek completion words -- "${words[@]:1:cword}" 2>/dev/null))
    if [ "${COMPREPLY[0]}" = "<files>" ]; then
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
    case "${COMPREPLY[0]}" in *[:/=]) compopt -o nospace ;; esac
    type __ltrim_colon_completions >/dev/null 2>&1 && __ltrim_colon_completions "$cur"
    return 0
}
complete -F _odradek odradek
"""

_ZSH: Final = """\
#compdef odradek
_odradek() {
    local -a found
    found=("${(@f)$(odradek completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${found[1]}" == "<files>" ]]; then
        _files
    elif [[ -n "${found[1]}" ]]; then
        compadd -- "${found[@]}"
    fi
}
compdef _odradek odradek
"""

_FISH: Final = """\
function __odradek_words
    set -l words (commandline -opc) (commandline -ct)
    set -l found (odradek completion words -- $words[2..-1] 2>/dev/null)
    if test "$found[1]" = "<files>"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c odradek -f -a '(__odradek_words)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
FILES: Final = "<files>"

_EXAMPLES = """\
  bash: odradek completion bash > ~/.local/share/bash-completion/completions/odradek
  zsh:  odradek completion zsh > "${fpath[1]}/_odradek"
  fish: odradek completion fish > ~/.config/fish/completions/odradek.fish"""


def fill(parser: CommandParser) -> None:
    parser.epilog = f"examples:\n{_EXAMPLES}"
    verbs = Verbs(parser)
    for shell in SCRIPTS:
        verbs.add(shell, _script, f"print the script for {shell}").set_defaults(shell=shell)
    words = verbs.add("words", _words, "what the last of these words may become, one each line")
    words.add_argument("words", nargs=argparse.REMAINDER, metavar="-- WORD")


def _script(options: argparse.Namespace) -> int:
    say(SCRIPTS[options.shell])
    return exits.OK


def _words(options: argparse.Namespace) -> int:
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    wanted = wanted_by(options.root, words)
    found = sorted(
        word for word in words_of(wanted, os.environ) if word.startswith(words[-1] if words else "")
    )
    if found:
        say("\n".join(found))
    return exits.OK


class Wanted:
    """What may come next: words, and the kind of a name that only the cluster, or a file, knows."""

    def __init__(
        self, words: Iterable[Any] = (), kind: str = "", options: dict[str, str] | None = None
    ) -> None:
        self.words = [str(word) for word in words]
        self.kind = kind
        #: The flags -s and --profile among the words so far.
        self.options = options or {}


def wanted_by(parser: CommandParser, words: Sequence[str]) -> Wanted:
    """What the last word may be, after those before it."""
    *before, last = words or [""]
    flags: dict[str, str] = {}
    waiting: argparse.Action | None = None
    taken = 0
    parser = parser.filled()
    for word in before:
        actions = parser._option_string_actions
        if waiting is not None:
            _note(flags, waiting, word)
            waiting = None
        elif word.startswith("-") and word != "-":
            name, found, value = word.partition("=")
            action = actions.get(name)
            if action is not None and found:
                _note(flags, action, value)
            elif action is not None and action.nargs != 0:
                waiting = action
        else:
            below = _subparsers(parser)
            if below is not None and word in below:
                parser, taken = below[word].filled(), 0
            else:
                taken += 1
    if waiting is not None:
        return Wanted(waiting.choices or (), getattr(waiting, "completes", ""), flags)
    if last.startswith("-"):
        return Wanted([name for name in parser._option_string_actions if name.startswith("--")], "", flags)
    below = _subparsers(parser)
    if below is not None:
        return Wanted([name for name in below if name != "words"], "", flags)
    return _positional(parser, taken, flags)


def _positional(parser: CommandParser, taken: int, flags: dict[str, str]) -> Wanted:
    """What the next argument without a flag is, after `taken` of them."""
    for action in parser._get_positional_actions():
        if action.nargs in ("*", "+", argparse.REMAINDER) or taken == 0:
            return Wanted(action.choices or (), getattr(action, "completes", ""), flags)
        taken -= 1
    return Wanted(options=flags)


def _subparsers(parser: CommandParser) -> dict[str, Any] | None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return None


def _note(flags: dict[str, str], action: argparse.Action, value: str) -> None:
    if action.dest in ("server", "profile"):
        flags[action.dest] = value


def words_of(wanted: Wanted, environ: Any) -> list[str]:
    """The words themselves. A cluster that does not answer knows none."""
    words = wanted.words
    if wanted.kind == "file":
        return [FILES]
    if wanted.kind == "profile":
        from odradek.client.cli.profiles import ProfileError, read_profiles

        try:
            return [*words, *read_profiles(environ).by_name]
        except (ProfileError, OSError):
            return words
    if wanted.kind in _LOOK_UPS:
        return [*words, *_looked_up(wanted)]
    return words


_LOOK_UPS: Final = ("topic", "group", "node", "resource")


def _looked_up(wanted: Wanted) -> list[str]:
    import asyncio

    from odradek.client.cli.commands import cluster_of, reachable

    namespace = argparse.Namespace(server=wanted.options.get("server"), profile=wanted.options.get("profile"))

    async def ask() -> list[str]:
        from odradek.client.admin import Admin

        async with asyncio.timeout(LOOK_UP_S), Admin(reachable(cluster_of(namespace).servers)) as admin:
            return await _names(admin, wanted.kind)

    try:
        return asyncio.run(ask())
    except Exception:
        # Whatever is wrong, it is not said between the words of a command line.
        return []


async def _names(admin: Any, kind: str) -> list[str]:
    if kind == "group":
        return [group.group_id async for group in admin.list_groups()]
    if kind == "node":
        return [str(node.node_id) for node in (await admin.get_cluster()).nodes]
    topics = [topic.name async for topic in admin.list_topics()]
    if kind == "topic":
        return topics
    nodes = [f"node:{node.node_id}" for node in (await admin.get_cluster()).nodes]
    return ["cluster", *nodes, *(f"topic:{topic}" for topic in topics)]
