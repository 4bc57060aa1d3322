//! What Django's own tests assert of its sessions, asserted of ours over HTTP.
//!
//! Django 6.1 has 92 tests and groups of tests about sessions and those who use them, numbered here. Each test below
//! names the row and the test of Django's; where it speaks of a deviation, we differ on purpose. Each operation is
//! tried both ways an app can ask for it, by `Session-*` header and by rule. What the app then sees is what counts.
//!
//! Rows that are not here:
//!
//! | row | Django's test | why not |
//! |---|---|---|
//! | 7 | `test_setdefault` | no such operation: an app that is told `Session-Data` sees what is missing |
//! | 29, 30 | `test_decode_failure_logged_to_security`, `test_decode_serializer_exception` | memory has no bytes to damage from outside; `session::record` has unit tests |
//! | 35, 36, 37 | `test_session_get_decoded`, `test_sessionmanager_save`, `test_clearsessions_command` | the admin interface comes later |
//! | 38 | `test_aclear_expired` | the sweep runs by the machine's clock; `store::conformance` moves it |
//! | 41 | `test_custom_expiry_reset` of a custom store | one policy for all stores; a rule's `expiry` is row 24 |
//! | 42, 44, 45, 50 | `CacheDBSessionTests`, `CacheSessionTests` | Redis and the near cache come later |
//! | 46, 48, 49 | `FileSessionTests` | the disk store comes later |
//! | 62, 63 | `CookieSessionTests` | the cookie store comes later |
//! | 64 | `test_clearsessions_unsupported` | the command comes later |
//! | 65 | `SessionBaseTests` | `store::conformance` runs over every store |
//! | 67 | `test_is_empty`, `test_bool` | rows 1 and 61 |
//! | 70 | `test_login_session_without_hash_session_key` | no session lacks the proof of its sign-in |
//! | 76 | `test_changed_password_invalidates_session` | `users_file` has both halves |
//! | 77 | `test_no_session` | there is no configuration without sessions |
//! | 79 | `test_public_view_logged_in_performance` | calls of the store cannot be counted from outside yet |
//! | 81 | `test_get_user_fallback_secret` | ids are not signed, so no key can be rotated away under them |
//! | 90 | `signing.tests` | Django's row format comes with the import |

mod data;
mod expiry;
mod ids;
mod responses;
mod site;
mod users;
