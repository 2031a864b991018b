"""The `steerd` command. Each verb imports what it needs when it is used, so that --help is instant.

``-c`` and ``--log-level`` may stand before or after the verb. Where a verb reads one configuration, its file may be
named without ``-c``, too.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from steerd import __version__
from steerd.cli import arguments, fleet_options
from steerd.cli.terminal import concluded, prepare, say

CONFIG = Path("/etc/steerd/steerd.toml")
AGENT_CONFIG = Path("/etc/steerd/agent.toml")
FLEET_CONFIG = Path("/etc/steerd/fleet.toml")
_DEFAULT = f"default: {CONFIG}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0; 1 runtime failure, or a configuration that cannot be read now; 2 usage;
    69 `init` or `check --live` found an error; 78 a configuration with mistakes."""
    prepare()
    parser = command_line()
    options = parser.parse_args(argv)
    if options.config and getattr(options, "file", None):
        parser.error(f"the configuration is named twice: -c {options.config} and {options.file}")
    if options.verb == "check" and options.json and not options.live:
        parser.error("--json: findings are what --live makes; without it each mistake is a line")
    return concluded("steerd", lambda: _code(options))


def _code(options: argparse.Namespace) -> int:
    from steerd.config.file.problem import ConfigError

    try:
        return _done(options)
    except ConfigError as error:
        say(error, error=True)
        return error.exit_code


def _done(options: argparse.Namespace) -> int:
    match options.verb:
        case "run":
            from steerd.cli.verbs.run import run

            return run(
                _file(options),
                dry_run=options.dry_run,
                verbose=options.verbose,
                observe=options.observe,
                level=options.log_level,
            )
        case "init":
            from steerd.cli.verbs.init import init

            return init(_file(options), options.sources)
        case "check" if options.live:
            from steerd.cli.verbs.live import check as check_live

            return check_live(_file(options), as_json=options.json)
        case "check":
            from steerd.cli.verbs.configuration import check

            return check(_file(options))
        case "replay":
            from steerd.cli.verbs.replay import Options, replay

            baselines = not options.json if options.baselines is None else options.baselines
            chosen = Options(
                options.json, baselines, options.price, options.plot, options.policy, options.form, options.as_probed
            )
            return replay(options.config, options.traces, chosen)
        case "export-trace":
            from steerd.cli.verbs.export_trace import export_trace

            return export_trace(_file(options), since=options.since, output=options.output, leg=options.leg)
        case "demo" if options.fleet:
            from steerd.lab.fleet_demo import fleet_demo

            return fleet_demo(as_json=options.json, hold=options.hold)
        case "demo":
            from steerd.lab.demo import demo

            return demo(as_json=options.json, hold=options.hold, config=options.config)
        case "cleanup":
            from steerd.cli.verbs.run import cleanup

            return cleanup(_file(options))
        case "guard":
            from steerd.cli.verbs.run import guard

            return guard(_file(options))
        case "agent":
            from steerd.cli.verbs.agent import agent

            return agent(options.config or AGENT_CONFIG, only_check=options.check, level=options.log_level)
        case "simulate-fleet":
            from steerd.cli.verbs.simulate_fleet import simulate_fleet

            return simulate_fleet(options)
        case "fleet":
            from steerd.cli.verbs.fleet import fleet

            return fleet(options.config or FLEET_CONFIG, only_check=options.check, level=options.log_level)
        case "reflect":
            from steerd.cli.verbs.reflect import reflect

            return reflect(
                options.listen,
                key_file=options.key_file,
                allow=options.allow,
                rate=options.rate,
                level=options.log_level,
            )
    raise AssertionError(options.verb)


def _file(options: argparse.Namespace) -> Path:
    """The configuration of a verb that needs one."""
    named: Path | None = options.config or getattr(options, "file", None)
    return named or CONFIG


def command_line() -> argparse.ArgumentParser:
    """Help, the manual page and the shells' completion are made from it."""
    parser = argparse.ArgumentParser(
        prog="steerd",
        description="Steers a Linux gateway's traffic to the best edge PoP, without flapping.",
        epilog="Begin with `steerd init`, then `steerd run --observe`. `steerctl` asks the running daemon. "
        "Exit codes: 0 done; 1 failed; 2 usage; 69 the machine is not as the configuration needs it (check --live, "
        "init); 78 the configuration has mistakes.",
    )
    parser.add_argument("--version", action="version", version=f"steerd {__version__}")
    _everywhere(parser, None, "info", _DEFAULT)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, without: str = "") -> argparse.ArgumentParser:
        """``without``: what it does without a configuration; empty: it reads the one that is installed."""
        made = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        # What is not said behind the verb stays as it was said before it.
        _everywhere(made, argparse.SUPPRESS, argparse.SUPPRESS, without or _DEFAULT)
        if not without:
            made.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the same as -c FILE")
        return made

    run = verb("run", "the daemon, in the foreground")
    run.add_argument(
        "--dry-run", action="store_true", help="print what would be set up, in words and as `ip` commands, and stop"
    )
    run.add_argument("-v", "--verbose", action="store_true", help="with --dry-run: the tables of nftables as well")
    run.add_argument(
        "--observe",
        action="store_true",
        help="probe and decide, but touch no rule, route or nftables: `steerctl savings`",
    )

    init = verb("init", "write a configuration from what this machine has", f"what is written; {_DEFAULT}")
    init.add_argument(
        "-o",
        "--output",
        dest="file",
        type=Path,
        metavar="FILE",
        help="the same as -c FILE; - prints it. A file that exists is not overwritten",
    )
    init.add_argument(
        "--from",
        dest="sources",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="take the tunnels of these files of wg-quick, and no others (default: /etc/wireguard and the devices that "
        "are there)",
    )

    check = verb("check", "validate a configuration; print every mistake")
    check.add_argument(
        "--live",
        action="store_true",
        help="hold it against this machine, too: devices, next hops, tunnels, forwarding, neighbours, targets; what is "
        "wrong is named with its cure, and nothing is changed",
    )
    check.add_argument("--json", action="store_true", help="with --live: the findings as a JSON list")

    replay = verb("replay", "the configuration's rule over recorded samples", "default: the rule's defaults, any path")
    replay.add_argument("--json", action="store_true", help="one object for each trace")
    replay.add_argument(
        "--baselines",
        action=argparse.BooleanOptionalAction,
        help="other rules beside it: babeld's, Tailscale's, NetBird's, ... (default: without --json)",
    )
    replay.add_argument(
        "--price",
        type=arguments.price,
        action="append",
        default=[],
        metavar="'10ms for 10s'",
        help="settle the same choices at this price of a switch too; once for each",
    )
    replay.add_argument(
        "--as-probed", action="store_true", help="show the rule only those samples that the daemon would have probed"
    )
    replay.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the one trace: RTTs, choices, switches")
    replay.add_argument("--policy", metavar="NAME", help="of a recording: whose figures (default: the first's)")
    replay.add_argument(
        "--from",
        dest="form",
        metavar="FORMAT",
        help="csv, ping, fping, mtr, irtt, atlas or prometheus (default: recognised by content)",
    )
    replay.add_argument(
        "traces",
        type=Path,
        nargs="+",
        metavar="TRACE",
        help="CSV or another tool's output (--from), plain, .gz or .xz; a daemon's recording-*.jsonl.gz; or a folder",
    )

    export = verb("export-trace", "the daemon's recordings as a trace")
    export.add_argument(
        "--since", type=arguments.duration, default=86400.0, metavar="1d", help="how far back (default: 1d)"
    )
    export.add_argument(
        "-o", "--output", type=Path, metavar="FILE.csv[.gz|.xz]", help="default: standard output, as CSV"
    )
    export.add_argument(
        "--leg", type=int, choices=[0, 1], default=0, help="which target of a path that has two (default: 0, the first)"
    )

    demo = verb("demo", "a lab of emulated PoPs with the real daemon: shows what it does", "default: the lab's own")
    demo.add_argument(
        "--fleet", action="store_true", help="another one: five gateways, three PoPs, a broker, the fleet service"
    )
    demo.add_argument("--json", action="store_true", help="what happened as JSON")
    demo.add_argument("--hold", action="store_true", help="keep the lab up at the end, until Ctrl-C")

    reflect = verb("reflect", "answer the UDP probes (STAMP) of gateways: runs at a PoP", "needs none")
    reflect.add_argument(
        "--listen",
        type=arguments.endpoint,
        action="append",
        default=[],
        metavar="ADDR:PORT",
        help="once for each; default: 0.0.0.0:862 and [::]:862",
    )
    reflect.add_argument("--key-file", type=Path, metavar="FILE", help="answer only what is signed with this key")
    reflect.add_argument(
        "--allow",
        type=arguments.network,
        action="append",
        default=[],
        metavar="PREFIX",
        help="answer only these sources",
    )
    reflect.add_argument(
        "--rate",
        type=arguments.rate,
        default=100.0,
        metavar="N",
        help="answers a second to one session (ten times as many to one address)",
    )

    agent = verb(
        "agent",
        "a PoP's own word: load, links to others, whether it takes traffic; answers probes",
        f"default: {AGENT_CONFIG}",
    )
    agent.add_argument("--check", action="store_true", help="only validate the configuration")

    fleet_options.add(verb("simulate-fleet", "many gateways and PoPs in virtual time: do they herd?", "needs none"))
    fleet = verb(
        "fleet", "hear all gateways and PoPs at the broker, and show them: a page, metrics", f"default: {FLEET_CONFIG}"
    )
    fleet.add_argument("--check", action="store_true", help="only validate the configuration")

    verb("guard", "put the leak guard in place: for the time before the daemon starts")
    verb("cleanup", "remove every kernel object that steerd owns; no daemon needed")
    return parser


def _everywhere(parser: argparse.ArgumentParser, config: object, level: object, without: str) -> None:
    """What may stand before and after the verb, with its defaults."""
    parser.add_argument(
        "-c", "--config", type=Path, default=config, metavar="FILE", help=f"the configuration ({without})"
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default=level,
        help="the least that is logged (default: info)",
    )


if __name__ == "__main__":
    sys.exit(main())
