"""``python -m tests.fuzz [--seconds N] [--keep] [TARGET...]``: look for inputs that break a parser, led by coverage.

Each target runs in a process of its own, for so many seconds (60), from its seeds and its corpus. What breaks it is
printed in hexadecimal, as ``corpus/TARGET.txt`` takes it once it is mended; with ``--keep`` that file is written anew,
with it and some of the small inputs that reach code which no seed reaches. The exit code is 1 if anything broke.
"""

import argparse
import subprocess
import sys
import tempfile
from hashlib import sha1
from pathlib import Path

from tests.fuzz.target import CORPUS

KEPT_BYTES = 400
KEPT = 40
_OPTIONS = ("-timeout=20", "-rss_limit_mb=1500", "-max_len=4096", "-seed=1", "-verbosity=0")
_GRACE = 60.0


def _one(name: str, options: list[str]) -> None:
    """In the process of a target: never returns."""
    import atheris

    with atheris.instrument_imports(include=["steerd"]):
        from tests.fuzz.targets import TARGETS
    import logging

    logging.disable(logging.CRITICAL)
    atheris.Setup([sys.argv[0], *options], TARGETS[name].try_)
    atheris.Fuzz()


def _run(name: str, *options: str, seconds: float) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, *_OPTIONS, *options]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", timeout=seconds + 10 * _GRACE
    )
    return done.returncode, done.stdout + done.stderr


def _fill(folder: Path, inputs: list[bytes]) -> Path:
    folder.mkdir()
    for data in inputs:
        (folder / sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    return folder


def _fuzzed(name: str, seconds: int, *, keep: bool) -> bool:
    """Whether nothing was found."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        seeds = _fill(root / "seeds", list(target.seeds()))
        corpus = _fill(root / "corpus", target.corpus())
        found = root / "found"
        found.mkdir()
        code, text = _run(
            name, f"-max_total_time={seconds}", f"-artifact_prefix={found}/", str(corpus), str(seeds), seconds=seconds
        )
        broken = [file.read_bytes() for file in sorted(found.iterdir())]
        print(f"{name}: {len(list(corpus.iterdir()))} inputs reach what others do not", flush=True)
        if code:
            print(f"{text[-4000:]}\n{name} BROKE: {' '.join(one.hex() for one in broken)}", flush=True)
        if keep:
            known = [*target.corpus(), *broken]
            new = sorted({file.read_bytes() for file in corpus.iterdir()} - {*known, *target.seeds(), b""}, key=len)
            kept = [*known, *(one for one in new if len(one) <= KEPT_BYTES)][: max(KEPT, len(known))]
            (CORPUS / f"{name}.txt").write_text("".join(f"{one.hex()}\n" for one in kept))
        return not code


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        _one(sys.argv[2], sys.argv[3:])
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}")
    well = [_fuzzed(name, options.seconds, keep=options.keep) for name in options.targets or TARGETS]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
