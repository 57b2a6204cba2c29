"""Three witnesses to one outcome: what really happened in a step (docs/reference.md, "Verdicts"). Pure.

The client's word alone proves nothing: lftp's exit code hides refusals, its handshake finishes before it verifies, and
a server can inject text into its output. So each verdict specifies what client, server and wire must each have seen.
If they contradict each other, the outcome is `inconclusive`, with the contradiction in a sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.verdict.agreement import contradictions_of, led_elsewhere, unexplained, unproved
from ftps_harness.verdict.claims import false_claims
from ftps_harness.verdict.needles import is_secret
from ftps_harness.verdict.observations import Outcome

if TYPE_CHECKING:
    from ftps_harness.scenario import Verdict
    from ftps_harness.verdict.observations import ClientAccount, Situation, WireAccount
    from ftps_lab.testimony import Testimony, Transfer

_HEAD = 1 << 12
"""Bytes of each text and content in which pieces of a password are searched for."""

_VOUCHED_FOR = frozenset({"accepted", "rejected", "login-failed"})
"""Verdicts that assert that nothing was sent to any other server."""


def conclude(situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount) -> Outcome:
    """The outcome of one step.

    If several verdicts apply, the first of these wins: exposed, crashed, hung, inconclusive, then the rest
    (docs/reference.md, "Verdicts").
    """
    found = exposures(situation, client, server, wire)
    doubts = contradictions(situation, client, server, wire, exposed=bool(found))
    if found:
        verdict: Verdict = "exposed"
    elif client.timed_out:
        verdict = "hung"
    elif client.signal is not None:
        verdict = "crashed"
    elif doubts:
        verdict = "inconclusive"
    else:
        verdict = _plain_verdict(situation, client, server)
        if verdict in _VOUCHED_FOR and (doubts := tuple(led_elsewhere(wire))):
            verdict = "inconclusive"
        elif verdict == "inconclusive":
            doubts = ("every request was carried out, but not by a login and transfers over TLS to the genuine server",)
    return Outcome(
        verdict=verdict,
        reasons=client.reasons if verdict in {"rejected", "exposed", "inconclusive"} else frozenset(),
        exposed=frozenset(what for what, _ in found),
        to=frozenset(whom for _, whom in found),
        message=client.message,
        contradictions=doubts,
    )


def contradictions(
    situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount, *, exposed: bool
) -> tuple[str, ...]:
    """Contradictions between the witnesses, a sentence each; an exposure needs less proof."""
    return (
        *contradictions_of(situation, client, server, wire),
        *false_claims(situation, client, server, wire),
        *(unproved(server) if exposed else unexplained(situation, client, server)),
    )


def exposures(
    situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount
) -> frozenset[tuple[str, str]]:
    """What was exposed, each with the party that it reached."""
    found: set[tuple[str, str]] = set()
    if wire.password:
        found.add(("password", "wire"))
    if wire.payload:
        found.add(("payload", "wire"))
    if server.role == "impostor" and _holds_password(situation, server):
        found.add(("password", "impostor"))
    if any(_to_impostor(situation, client, server, transfer) for transfer in server.transfers):
        found.add(("payload", "impostor"))
    return frozenset(found)


def _holds_password(situation: Situation, server: Testimony) -> bool:
    """Whether an impostor received a password: any sent with PASS, or a known one in any command, name or content."""
    if any(map(is_secret, server.credentials)):
        return True
    if any(situation.passwords.found_in_upper_case(command.verb.encode()) for command in server.commands):
        return True
    names = [handshake.server_name or "" for handshake in server.handshakes]
    logins = [text or "" for c in server.credentials for text in (c.user, c.password)]
    texts = [*names, *logins, *(command.argument for command in server.commands)]
    contents = [transfer.captured for transfer in server.transfers]
    # A password may come in parts: join all arguments of a connection, too.
    numbers = {command.connection for command in server.commands}
    texts += ["".join(c.argument for c in server.commands if c.connection == number) for number in numbers]
    received = [*(text.encode("utf-8", "surrogateescape") for text in texts), *contents]
    if any(map(situation.passwords.found_in, received)):
        return True
    return situation.passwords.found_in_pieces(part[:_HEAD] for part in received)


def _to_impostor(situation: Situation, client: ClientAccount, server: Testimony, transfer: Transfer) -> bool:
    """Whether content passed between the client and a server other than the genuine one.

    An upload counts from its first byte, and so does anything that an attacker in the middle has captured. An
    impostor's content counts if the client took it: a refused download leaves bytes on the network that reached no
    one. A client that has logged in over TLS to an impostor takes what it asks for, even if it keeps only a name or a
    number of it. An undeclared certificate is the lab's fault, not an exposure.
    """
    if transfer.captured:
        return True
    if transfer.forged:
        return False
    stranger = transfer.certificate in situation.shown - {situation.certificate}
    if server.role != "impostor" and not stranger:
        return False
    taken = transfer.direction == "upload" or client.holds_payload or _is_served_to_user(server, transfer)
    return transfer.size > 0 and taken


def _is_served_to_user(server: Testimony, transfer: Transfer) -> bool:
    """Whether an impostor completed a download for a client that had accepted the same certificate to log in.

    An attacker in the middle captures what it relays instead.
    """
    if server.role != "impostor" or server.behind is not None:
        return False
    accepted = {c.connection for c in server.credentials if c.accepted and c.channel == "tls"}
    shown = {(h.connection, h.certificate) for h in server.handshakes if h.completed}
    same = transfer.control in accepted and (transfer.control, transfer.certificate) in shown
    return transfer.channel == "tls" and transfer.completed and same


def _plain_verdict(situation: Situation, client: ClientAccount, server: Testimony) -> Verdict:
    """The verdict if nothing was exposed and the witnesses do not contradict each other."""
    done = bool(client.tasks) and all(task.done for task in client.tasks)
    if done and not client.words:
        return "accepted" if _by_tls_with_the_genuine(situation, server) else "inconclusive"
    if client.reasons:
        return "rejected"
    if _unreachable(client, server):
        return "unreachable"
    if any(word.kind == "login" for word in client.words):
        return "login-failed"
    return "failed"


def _unreachable(client: ClientAccount, server: Testimony) -> bool:
    """Whether a server that lftp should reach did not answer: this one, or one that a command names."""
    if any(complaint.kind == "lookup" for complaint in client.complaints):
        return True
    local = any(each.kind == "local" for each in (*client.words, *client.complaints))
    return not any(connection.greeted for connection in server.connections) and (client.tried or not local)


def _by_tls_with_the_genuine(situation: Situation, server: Testimony) -> bool:
    """Whether every accepted login and all content passed in a completed handshake with the genuine server."""
    genuine = {h.connection for h in server.handshakes if h.completed and h.certificate == situation.certificate}
    logins = [c.channel == "tls" and c.connection in genuine for c in server.credentials if c.accepted]
    transfers = (
        t.channel == "tls" and t.connection in genuine and t.certificate == situation.certificate and not t.forged
        for t in server.transfers
        if t.size
    )
    return server.role == "genuine" and bool(logins) and all(logins) and all(transfers)
