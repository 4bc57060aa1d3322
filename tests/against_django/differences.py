"""Where Cloakroom differs from Django on purpose: row, reason, and what Cloakroom's column must then be.

A row that is listed here and turns out equal is a failure, and so is one that differs in another way than this,
so the list stays true.
"""

from dataclasses import dataclass


@dataclass
class Difference:
    """Why a row differs, and what it shows on Cloakroom."""

    reason: str
    ours: list


DIFFERENCES = {}


def differ(reason, **rows):
    """Lists rows that differ for one reason, each with Cloakroom's column; `_` in a name stands for a space."""
    for name, ours in rows.items():
        DIFFERENCES[name.replace("_", " ")] = Difference(reason, ours)


DOG = 'sees {"cat": "dog"}'
SETS_A, SETS_B = "sets A for 1209600 s, Vary", "sets B for 1209600 s, Vary"
QUIET, DELETES, EMPTY = "no cookie, Vary", "deletes, Vary", "sees {}"

differ(
    "changes are applied to the newest state, so parallel writers lose nothing",
    four_writers_in_parallel=["4 of 4 survive"],
    four_increments_in_parallel=[f'{QUIET}, sees {{"cat": "dog", "n": 4}}'],
)
differ(
    "to renew a session is not to write its data, so a slow reader erases nothing",
    **{
        "a slow reader beside a writer (save every request)": [
            'sets A for 1209600 s, Vary, sees {"bird": "tit", "cat": "dog"}'
        ],
    },
)
differ(
    "an app that has done its work is not turned into a 400; its late write is dropped, for the session has ended",
    a_write_while_another_request_flushes=[f"{QUIET}, {DOG}", f"{DELETES}, {EMPTY}"],
)
differ(
    "a replaced id works on for a while and leads to the same new one, so parallel requests survive a rotation",
    a_request_that_still_carries_the_id_from_before_a_rotation=[SETS_B, f"{SETS_B}, {DOG}"],
    a_write_while_another_request_rotates=[
        f"{SETS_B}, {DOG}", f'{QUIET}, sees {{"cat": "dog", "late": true}}'
    ],
)
differ(
    "the id from before a sign-in opens nothing, but its late answers must not delete the new cookie",
    the_id_from_before_a_login=[f"{QUIET}, {EMPTY}"],
    an_answer_to_the_old_id_that_arrives_after_the_login=[f"{QUIET}, {DOG}, as ann"],
)
differ(
    "a new id is kept only together with the cookie that announces it; Django loses the session",
    rotate_with_500=[f"500, {QUIET}", f"{QUIET}, {DOG}"],
    login_with_500=[f"500, {QUIET}", f"{QUIET}, {DOG}"],
)
differ(
    "flush stands on any status, and its cookie goes with it; Django leaves the dead cookie behind",
    flush_and_write_with_500=[f"500, {DELETES}", f"{QUIET}, {EMPTY}", f"{DELETES}, {EMPTY}"],
)
differ(
    "of several cookies of our name the one that is valid counts, not the last (subdomain fixation)",
    the_cookie_twice_valid_then_unknown=[f"{QUIET}, {DOG}"],
)
differ(
    "several valid cookies are a sign of an attack: none is believed, all are deleted",
    the_cookie_twice_both_valid=[f"{DELETES}, {EMPTY}"],
)
differ(
    "a cookie is split as browsers do, without taking quotes off: what two parsers read differently is smuggled",
    the_id_in_quotes=[f"{DELETES}, {EMPTY}"],
)
differ(
    "an unknown id creates nothing, also when every request is saved (CVE-2015-5143)",
    **{"an unknown id untouched (save every request)": [DELETES]},
)
differ(
    "a session begins when there is something to keep; there is nothing to give a new id to",
    rotate_without_a_session=[QUIET, f"{QUIET}, {EMPTY}"],
)
differ(
    "absolute_timeout is a limit that an app may shorten, not lengthen; Django knows no such limit",
    expiry_with_a_write_2592000=[SETS_A, f"{QUIET}, {DOG}"],
)
differ(
    "the app's answer is for this browser alone: no shared cache may keep its cookie (CVE-2026-35192)",
    cache_control_of_an_answer_with_a_cookie=[SETS_A, "Cache-Control: no-store"],
)
differ(
    "who is signed in stands beside the data, not in it: clear empties the data, flush signs out",
    clear_of_a_signed_in_session=[SETS_A, f"{QUIET}, {EMPTY}, as ann"],
)
differ(
    "Session-Set is a merge patch (RFC 7396): null removes, objects are merged",
    null_as_a_value=[QUIET, f"{QUIET}, {DOG}"],
    an_object_in_place_of_an_object=[SETS_A, f'{QUIET}, sees {{"cart": {{"apples": 1, "pears": 2}}}}'],
)
differ(
    "Max-Age alone: it has precedence over Expires (RFC 6265, 4.1.2.2), and the browser's clock does not matter to it",
    attributes_of_a_new_cookie=[SETS_A, "httponly; max-age=1209600; path=/; samesite=Lax"],
    **{
        "attributes as configured (strict)": [
            SETS_A, "domain=example.com; max-age=1209600; path=/; samesite=Strict",
            DELETES, "domain=example.com; expires=(a date); max-age=0; path=/; samesite=Strict",
        ],
    },
)
differ(
    "a deletion repeats every attribute of the cookie it ends; Django leaves HttpOnly out",
    attributes_of_a_deleted_cookie=[DELETES, "expires=(a date); httponly; max-age=0; path=/; samesite=Lax"],
)
differ(
    "a cookie that names nothing is taken away at once, as Django does only when the app looks at the session",
    **{
        "an unknown id is not touched 0123456789abcdefghijklmnopqrstuv": [DELETES],
        "an unknown id is not touched 12345678": [DELETES],
    },
)
differ(
    "an app may name the user with each of its answers: what is known already is no sign-in, and needs no cookie",
    login_of_the_same_user_keeps_the_data=[QUIET, f"{QUIET}, {DOG}, as ann"],
)
differ(
    "what the app wrote stays as it is: a cache reads `*` beside other names as `*` alone (RFC 9110, 12.5.5)",
    **{"what the app varies on already Accept, *": ["sets A for 1209600 s, Vary: accept, *"]},
)
