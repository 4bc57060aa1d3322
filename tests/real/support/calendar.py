"""What a calendar program says to a CalDAV server (RFC 4791), through any client."""

import re

XML = {"Content-Type": "application/xml; charset=utf-8"}

WHO = '<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>'

QUERY = (
    '<c:calendar-query xmlns="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">'
    "<prop><getetag/><c:calendar-data/></prop>"
    '<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT"/></c:comp-filter></c:filter>'
    "</c:calendar-query>"
)

ENTRY = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//cloakroom//tests//EN\r
BEGIN:VEVENT\r
UID:{uid}\r
DTSTAMP:20260101T120000Z\r
DTSTART:20260110T090000Z\r
DTEND:20260110T100000Z\r
SUMMARY:{summary}\r
END:VEVENT\r
END:VCALENDAR\r
"""


def entry(uid, summary):
    """One event as iCalendar text."""
    return ENTRY.format(uid=uid, summary=summary)


def who(client, headers=()):
    """Whom the server takes the caller for: the name, None for nobody, or the response that refused to say."""
    response = client.fetch("/", "PROPFIND", [*XML.items(), ("Depth", "0"), *headers], WHO)
    if response.status != 207:
        return response
    found = re.search(r"current-user-principal>\s*<(?:\w+:)?href>/([^/<]+)/", response.text)
    return found.group(1) if found else None


def put(client, path, text, headers=()):
    """Stores an entry."""
    return client.fetch(path, "PUT", [("Content-Type", "text/calendar; charset=utf-8"), *headers], text)


def report(client, path, headers=()):
    """Asks a calendar for all its events."""
    return client.fetch(path, "REPORT", [*XML.items(), ("Depth", "1"), *headers], QUERY)
