"""Errors that a user can fix, as the command line shows them."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def complaints_shown() -> Iterator[None]:
    """Print errors that a user can fix as a sentence, without a traceback."""
    from db.errors import (
        BackupFailed,
        ConnectionRefused,
        DatabaseAway,
        EmbeddedPostgresError,
        NotDistributable,
        OwnerLost,
        SchemaOutdated,
        UnfitRole,
    )
    from openapi.contract.faults import UnusableContract
    from openapi.settings import WrongSettings
    from openapi.stubs.missing import NoStub

    try:
        yield
    except (
        WrongSettings,
        UnusableContract,
        ConnectionRefused,
        DatabaseAway,
        SchemaOutdated,
        UnfitRole,
        OwnerLost,
        NotDistributable,
        EmbeddedPostgresError,
        NoStub,
        BackupFailed,
    ) as error:
        from openapi.invocation import pasteable

        raise click.ClickException(pasteable(str(error))) from error
