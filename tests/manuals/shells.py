"""What a shell makes of a line and a TAB, at a terminal of its own."""

import contextlib
import os
import pty
import re
import select
import signal
import time
from pathlib import Path

_BOUND = 30.0  # seconds for each answer
_STARTS = {
    "bash": ["bash", "--rcfile", "{home}/bashrc", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "-i", "-C", "set -p fish_complete_path {share}/fish/vendor_completions.d"],
}
_FILES = {
    "bashrc": "for file in {share}/bash-completion/completions/*; do . $file; done\n",
    ".zshrc": "fpath=({share}/zsh/vendor-completions $fpath)\nautoload -Uz compinit\ncompinit -u -D\n",
}


class Shell:
    """``name`` is bash, zsh or fish; it completes by what lies below ``share``, as the package has it. ``home`` is
    written to; ``path`` is where it looks for programs."""

    def __init__(self, name: str, share: Path, home: Path, path: str) -> None:
        for file, text in _FILES.items():
            (home / file).write_text(text.format(share=share))
        words = [word.format(share=share, home=home) for word in _STARTS[name]]
        own = {"HOME": str(home), "ZDOTDIR": str(home), "PATH": path, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            try:
                os.execvpe(words[0], words, {**os.environ, **own})
            finally:
                os._exit(127)
        self._answer("echo got rea''dy\n")

    def completed(self, line: str) -> str:
        """The line after a TAB. It is printed, and not run: ctrl-A, then `echo` before it."""
        return self._answer(f"{line}\t\x01echo got \n").rstrip()

    def run(self, line: str) -> None:
        self._answer(f"{line}; echo got do''ne\n")

    def _answer(self, typed: str) -> str:
        os.write(self._terminal, typed.encode())
        seen, end = "", time.monotonic() + _BOUND
        while (found := re.search(r"[\n\r]got (\S[^\r\n]*)\r", seen)) is None:
            assert time.monotonic() < end, seen
            if select.select([self._terminal], [], [], 0.1)[0]:
                seen += os.read(self._terminal, 4096).decode(errors="replace")
                seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
        return found[1]

    def close(self) -> None:
        """End it, whatever it is doing."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        with contextlib.suppress(OSError):
            os.close(self._terminal)
