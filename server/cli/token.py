"""`parley token`: a token for the configured secret."""

import argparse
import sys

from server.auth.principal import DEFAULT_TENANT, Role, Tier
from server.cli.folder import refuse_unfit
from server.config import Settings, tokens_of, with_kept_secret

HOUR_S = 3600


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`token` and what it takes."""
    parser = subparsers.add_parser(
        "token",
        help="print a token for a user",
        description="Prints a token that a server with the same settings takes.",
    )
    parser.add_argument("--user", required=True, help="whom it speaks for (`sub`)")
    parser.add_argument("--tenant", default=DEFAULT_TENANT, help="default: %(default)s")
    parser.add_argument(
        "--role",
        action="append",
        type=Role,
        choices=list(Role),
        dest="roles",
        metavar="ROLE",
        help=f"may be given several times: {', '.join(Role)}; default: {Role.USER}",
    )
    parser.add_argument(
        "--ttl", type=int, default=HOUR_S, metavar="SECONDS", help="default: %(default)s"
    )
    parser.add_argument(
        "--tier",
        type=Tier,
        choices=list(Tier),
        default=Tier.FREE,
        metavar="TIER",
        help=f"one of {', '.join(Tier)}; default: {Tier.FREE}",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """The verb; its result is the process's exit status."""
    if settings.jwt_secret is None and settings.development:
        refuse_unfit(settings.data_dir)
    try:
        token = tokens_of(with_kept_secret(settings)).mint(
            user=args.user,
            tenant=args.tenant,
            roles=args.roles or [Role.USER],
            ttl_s=args.ttl,
            tier=args.tier,
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(token)
    return 0
