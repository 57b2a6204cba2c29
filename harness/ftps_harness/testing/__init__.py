"""The types of the pytest fixtures, to import in your tests for annotations (docs/reference.md, "The pytest plugin").

from ftps_harness.testing import LftpRunner, ServerFactory

def test_my_rc(ftps_server: ServerFactory, lftp: LftpRunner) -> None: ...
"""

from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.scenario.tables import (
    Attack,
    Protocol,
    Reason,
    Receiver,
    Role,
    Secret,
    TLSVersion,
    Verdict,
)
from ftps_harness.testing.arguments import ArgumentError
from ftps_harness.testing.keys import CertificateKeys, ServerKeys
from ftps_harness.testing.outcome import TestOutcome
from ftps_harness.testing.pinning import PinToolRequirement
from ftps_harness.testing.program import ProgramResult
from ftps_harness.testing.runner import LftpRunner
from ftps_harness.testing.servers import ServerFactory, ServerHandle
from ftps_harness.testing.verification import SetupReport, SetupVerifier
from ftps_lab.attackers import AttackHow
from ftps_lab.certificates import Certificate
from ftps_lab.errors import LabError
from ftps_lab.testimony import Testimony

__all__ = [
    "ArgumentError",
    "Attack",
    "AttackHow",
    "Certificate",
    "CertificateKeys",
    "HarnessError",
    "LabError",
    "LftpRunner",
    "PinToolRequirement",
    "ProgramResult",
    "Protocol",
    "Reason",
    "Receiver",
    "Role",
    "Secret",
    "ServerFactory",
    "ServerHandle",
    "ServerKeys",
    "SetupReport",
    "SetupVerifier",
    "TLSVersion",
    "TestOutcome",
    "Testimony",
    "UsageError",
    "Verdict",
]
