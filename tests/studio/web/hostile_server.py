"""A studio in a process of its own, so that what a request costs can be measured from outside:
`python hostile_server.py FOLDER` prints where it listens and who may ask, and serves until it is
ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvicorn
from houses import make_house

from accord.studio.people import api_tokens
from accord.studio.people.accounts import Visitor
from accord.studio.storage.tables import Account

SCOPES = tuple(api_tokens.SCOPES)


def main(folder: Path) -> None:
    """Serve on a free port."""
    house = make_house(folder)
    slug = house.project(count=2)
    with house.db.read() as session:
        a = session.get_one(Account, house.people["olga"])
        owner = Visitor(a.id, a.public, a.name, a.role, "en", "", "")
    token = api_tokens.issue_token(house.db, owner, "test", SCOPES, None)
    server = uvicorn.Server(uvicorn.Config(house.app, port=0, log_level="warning"))
    listener = server.config.bind_socket()
    listener.listen()  # what is asked before the server has started waits
    port = listener.getsockname()[1]
    entry = {"port": port, "cookie": house.session("olga"), "token": token, "slug": slug}
    print(json.dumps(entry), flush=True)
    server.run([listener])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
