"""Attackers on loopback, each between a client and the lab's own genuine server; they have no mode for anything else.

- `records`: one record for each attack, which says all that is known of it. Light: it loads the classes on use.
- `downgrade`: no key, no certificate; TLS is spoilt by changing an answer.
- `relay`: in the middle; `endpoint`, `genuine` and `data` are its parts, `addresses` what they talk about.
"""

from ftps_lab.attackers.records import ATTACKS, Attack, AttackHow, AttackKey, AttackName, attack_keys

__all__ = ["ATTACKS", "Attack", "AttackHow", "AttackKey", "AttackName", "attack_keys"]
