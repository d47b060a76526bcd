"""Files of a release agree with each other."""

import re
import subprocess

import yaml
from markdown_files import ROOT

IGNORED = ROOT / 'scripts' / 'audit_ignored.txt'


def test_citation_has_version_and_license_of_package():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    setup = (ROOT / 'setup.py').read_text()

    assert f"version='{citation['version']}'" in setup
    assert f"license='{citation['license']}'" in setup
    assert citation['cff-version'] == '1.2.0'
    assert {'message', 'title', 'authors'} <= citation.keys()


def test_accepted_vulnerabilities_have_reasons():
    lines = [line for line in IGNORED.read_text().splitlines() if not line.startswith('#')]

    assert all(re.fullmatch(r'(CVE|PYSEC|GHSA)-\S+ +\w.{20,}', line) for line in lines)


def test_release_refuses_unknown_value_of_audit():
    """Checked before anything is built."""
    result = subprocess.run(
        [ROOT / 'scripts' / 'release.sh'],
        env={'PATH': '/usr/bin:/bin', 'AUDIT': 'no'},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert result.returncode == 1
    assert result.stderr == "release: AUDIT is 'no'; use skip, or leave it out.\n"
