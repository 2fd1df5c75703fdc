"""API keys of the caller's tenant, and tickets that stand for one for some seconds."""

from collections.abc import Sequence
from urllib.parse import quote

from cellar_client.core.effects import Operation
from cellar_client.core.exchange import call
from cellar_client.documents import KeyDocument, KeysDocument, NewKeyDocument, TicketDocument


class KeysCore:
    """The API keys of the client's tenant; all but `ticket` need a key with the scope `admin`."""

    def __init__(self, give_up_s: float) -> None:
        self.give_up_s = give_up_s

    def create(
        self, name: str, scopes: Sequence[str], *, expires_in_s: float | None = None
    ) -> Operation[NewKeyDocument]:
        """Make a key with scopes of `read`, `step`, `train` and `admin`. No later answer has its text, `key`.

        A repeated request makes another key; the first one is in the list, and can be revoked.
        """
        body = {"name": name, "scopes": list(scopes), "expires_in_s": expires_in_s}
        return call("POST", "/v1/keys", body, give_up_s=self.give_up_s)

    def list(self) -> Operation[KeysDocument]:
        """Return all keys, the oldest first, with those that have ended."""
        return call("GET", "/v1/keys", give_up_s=self.give_up_s)

    def get(self, key: str) -> Operation[KeyDocument]:
        """Return the key with this id."""
        return call("GET", _path(key), give_up_s=self.give_up_s)

    def rotate(self, key: str, *, overlap_s: float = 3600) -> Operation[NewKeyDocument]:
        """Make a key with the name, scopes and lifetime of another, which ends after `overlap_s` seconds."""
        return call("POST", f"{_path(key)}/rotate", {"overlap_s": overlap_s}, give_up_s=self.give_up_s)

    def revoke(self, key: str) -> Operation[KeyDocument]:
        """End a key in every process within a second."""
        return call("DELETE", _path(key), give_up_s=self.give_up_s)

    def ticket(self) -> Operation[TicketDocument]:
        """Make a ticket for the URL of a WebSocket or an event stream, where browsers set no header."""
        return call("POST", "/v1/tickets", give_up_s=self.give_up_s)


def _path(key: str) -> str:
    return f"/v1/keys/{quote(key, safe='')}"
