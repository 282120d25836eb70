"""The table in docs/tcp.md: read as what is expected, rewritten from what came."""

from __future__ import annotations

import pathlib

BEGIN, END = "<!-- conformance table: begin -->", "<!-- conformance table: end -->"
OK, FAILED, UNKNOWN = "ok", "**failed**", ""
COLUMNS = ("Linux", "Millrace")


def key(check) -> tuple[str, str, str]:
    return check.group.replace("_", " "), check.rfc, check.text


def read(page: pathlib.Path) -> dict:
    """(group, rfc, behaviour) -> {"Linux": OK, "Millrace": FAILED}."""
    rows: dict = {}
    if not page.exists():
        return rows
    inside = False
    for line in page.read_text().splitlines():
        inside = (inside or line == BEGIN) and line != END
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if inside and len(cells) == 5 and not set(cells[0]) <= {"-"} and cells[0] != "subject":
            group, text, rfc, linux, millrace = cells
            rows[group, rfc, text] = {"Linux": linux, "Millrace": millrace}
    return rows


def write(page: pathlib.Path, checks: list, results: dict, listed: dict) -> None:
    """Rewrites the table; a subject or check that did not run keeps what is listed."""
    came = {name: {key(one.check): OK if one.passed else FAILED for one in outcomes} for name, outcomes in results.items()}
    value = lambda column, row: came.get(column, {}).get(row, listed.get(row, {}).get(column, UNKNOWN))
    rows = {key(one): {column: value(column, key(one)) for column in COLUMNS} for one in checks}
    groups = list(dict.fromkeys(group for group, _, _ in rows))
    lines = [BEGIN, "", "| subject | behaviour | RFC | Linux | Millrace |", "|---|---|---|---|---|"]
    for group, rfc, text in sorted(rows, key=lambda row: (groups.index(row[0]), row[1], row[2])):
        cells = rows[group, rfc, text]
        lines.append(f"| {group} | {text} | {rfc} | {cells['Linux']} | {cells['Millrace']} |")
    sums = " and ".join(f"{column} {sum(cells[column] == OK for cells in rows.values())}" for column in COLUMNS)
    lines += ["", f"Of {len(rows)} checks pass: {sums}.", "", END]
    text = page.read_text()
    before, rest = text.split(BEGIN)
    page.write_text(before + "\n".join(lines) + rest.split(END)[1])


def regressions(listed: dict, results: dict, checks: list, complete: bool) -> list[str]:
    """What fails the run: listed as passing for Millrace and not passing, or listed and not there any more."""
    complaints = []
    for one in results.get("Millrace", []):
        if not one.passed and listed.get(key(one.check), {}).get("Millrace") == OK:
            complaints.append(f"{one.check.name} ({one.check.rfc}) is listed as passing and failed")
    if complete:
        present = {key(one) for one in checks}
        complaints += [f"listed and not run: {' / '.join(row)}" for row in listed if row not in present]
    return complaints
