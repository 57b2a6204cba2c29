"""Attackers on loopback, each between a client and the lab's own genuine server; they cannot attack anything else.

- `records`: one record for each attack, with everything the lab knows about it. Light: it loads the classes on use.
- `downgrade`: no key, no certificate; the attacker spoils TLS by changing one answer.
- `relay`: attackers in the middle, built from `endpoint`, `genuine` and `data`.
"""

from ftps_lab.attackers.records import ATTACKS, Attack, AttackHow, AttackKey, AttackName, attack_keys

__all__ = ["ATTACKS", "Attack", "AttackHow", "AttackKey", "AttackName", "attack_keys"]
