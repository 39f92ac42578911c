"""`wampha keygen`, `wampha certs` and `wampha hash`: what proves who somebody is."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wampha.auth.ticket import hashed
from wampha.certs import CA, Authority, write

_SECRET_BYTES: Final = 32


@click.command()
@click.argument("kind", type=click.Choice(["cryptosign", "cluster"]))
@click.argument("file", required=False, type=click.Path(path_type=Path))
def keygen(kind: str, file: Path | None) -> None:
    """Make a key pair for method cryptosign, or the secret of a cluster.

    \b
    What is secret goes to FILE, which only its owner may read and which is never overwritten; without FILE it
    is printed. Of a key pair the public key is printed, for `authorized_keys` in a configuration.

    \b
        wampha keygen cryptosign client.key
        wampha pub --authid joe --private-key-file client.key com.example.hello hi
        wampha keygen cluster cluster.secret
    """
    if kind == "cluster":
        secret = secrets.token_hex(_SECRET_BYTES)
        click.echo(secret if file is None else f"{file} is the secret; in the configuration: {{file: {file}}}")
    else:
        key = Ed25519PrivateKey.generate()
        secret, public = key.private_bytes_raw().hex(), key.public_key().public_bytes_raw().hex()
        click.echo(public if file else f"private: {secret}\npublic: {public}")
    if file is not None:
        _keep(file, secret)


def _keep(file: Path, secret: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{file} is there already; delete it, or choose another name") from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secret + "\n")


@click.command("hash")
@click.option("--ticket", prompt=True, hide_input=True, confirmation_prompt=True, help="asked for if it is left out")
def hash_ticket(ticket: str) -> None:
    """Print the argon2id hash of a ticket, for `ticket_hash` in a configuration.

    \b
        wampha hash
    """
    click.echo(hashed(ticket, os.urandom(16)))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, required=True)
@click.option("--host", "hosts", multiple=True, help="a further name or address of each; default: localhost, 127.0.0.1")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650), help="how long they are valid")
def certs(folder: Path, names: tuple[str, ...], hosts: tuple[str, ...], days: int) -> None:
    """Make certificates for NAMES in FOLDER, and an authority (ca.pem, ca.key) if there is none.

    \b
    For trying out, and for clusters of one's own. Who has ca.key can be anybody: keep it elsewhere.
        wampha certs tls/ node-0 node-1 node-2
        wampha certs tls/ router.example.org --host 192.0.2.7
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / f"{CA}.pem").exists():
            authority = Authority.new(days)
            write(folder, CA, authority.key, authority.certificate)
        authority = Authority.load(folder)
        for name in names:
            write(folder, name, *authority.sign(name, hosts or ("localhost", "127.0.0.1"), days))
            click.echo(f"{folder / name}.pem, {folder / name}.key")
    except FileExistsError as error:
        raise click.ClickException(f"{error.filename} is there already; delete it, or choose another name") from None
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


COMMANDS: Final = {"keygen": keygen, "certs": certs, "hash": hash_ticket}
