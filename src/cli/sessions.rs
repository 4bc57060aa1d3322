//! `cloakroom sessions list|show|revoke|clear-expired`: the sessions of the running gateway, through its admin API.
//!
//! Tables are for people, `--json` is for scripts. SECURITY: an id is read from standard input only: arguments stand in
//! the list of processes and in the shell's history.

use std::io::{IsTerminal, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::bar::spinner;
use super::operator::Operator;
use super::table::{Table, cell, terminal_width};
use super::{ConfigFile, transfer};
use crate::admin::API;

/// A walk over a million sessions in a slow store.
const PATIENCE: Duration = Duration::from_secs(600);

/// So many sessions are asked for at a time; the API gives no more.
const PAGE: usize = 1000;

#[derive(Subcommand)]
pub(super) enum Sessions {
    /// List the living sessions
    List {
        /// Only this user's, the newest first
        #[arg(long)]
        user: Option<String>,
        /// One JSON object on each line
        #[arg(long)]
        json: bool,
        /// No more than this many
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Show one session; by its id, with its data
    Show {
        /// As the list shows it
        #[arg(required_unless_present = "id_stdin")]
        handle: Option<String>,
        /// Read the value of a session cookie from standard input, and show what is in the session
        #[arg(long, conflicts_with = "handle")]
        id_stdin: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// End sessions: those of these names, or all of a user
    Revoke {
        /// As the list shows them
        #[arg(value_name = "HANDLE", required_unless_present = "user")]
        handles: Vec<String>,
        /// Every session of this user
        #[arg(long, conflicts_with = "handles")]
        user: Option<String>,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Delete at once what has expired; the gateway does it by itself every minute
    ClearExpired(ConfigFile),
    /// Write all sessions of the configured store to a file, sealed as they are
    Export {
        /// The file, which must not exist
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Read an exported file into the configured store; what is there already stays
    Import {
        /// The file
        input: PathBuf,
        #[command(flatten)]
        file: ConfigFile,
    },
}

pub(super) fn run(command: Sessions) -> anyhow::Result<ExitCode> {
    match command {
        Sessions::List { user, json, limit, file } => {
            let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
            list(&Operator::of(&file.config)?, user.as_deref(), limit, json)
        }
        Sessions::Show { handle, json, file, .. } => show(&Operator::of(&file.config)?, handle.as_deref(), json),
        Sessions::Revoke { user: Some(user), file, .. } => revoke_all_of(&Operator::of(&file.config)?, &user),
        Sessions::Revoke { handles, file, .. } => revoke(&Operator::of(&file.config)?, &handles),
        Sessions::ClearExpired(file) => clear_expired(&Operator::of(&file.config)?),
        Sessions::Export { output, file } => transfer::export(&file.config, &output),
        Sessions::Import { input, file } => transfer::import(&file.config, &input),
    }
}

fn list(operator: &Operator, user: Option<&str>, limit: usize, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let (mut left, mut cursor, mut table) = (limit, String::new(), None::<Table<7>>);
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &left.min(PAGE).to_string()).append_pair("cursor", &cursor);
        query.extend_pairs(user.map(|user| ("user", user)));
        let path = format!("{API}/sessions?{}", query.finish());
        let page = operator.ask("GET", &path, None, PATIENCE)?.found()?.context("the gateway has no list")?;
        let sessions = page["sessions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sessions = &sessions[..sessions.len().min(left)];
        left -= sessions.len();
        if json {
            sessions.iter().try_for_each(|session| writeln!(out, "{session}"))?;
        } else if !sessions.is_empty() {
            let rows: Vec<_> = sessions.iter().map(row).collect();
            let table = match &mut table {
                Some(table) => table,
                None => {
                    let title = HEAD.map(str::to_owned);
                    let new = table.insert(Table::new(rows.iter().chain([&title]), terminal_width()));
                    writeln!(out, "{}", new.line(&title))?;
                    new
                }
            };
            rows.iter().try_for_each(|row| writeln!(out, "{}", table.line(row)))?;
        }
        match page["next"].as_str() {
            Some(next) if left > 0 => cursor = next.to_owned(),
            _ => break,
        }
    }
    if left == limit && !json {
        eprintln!("no sessions");
    }
    Ok(ExitCode::SUCCESS)
}

const HEAD: [&str; 7] = ["HANDLE", "USER", "CREATED (UTC)", "LAST SEEN", "EXPIRES", "ADDRESS", "AGENT"];

fn row(session: &Value) -> [String; 7] {
    let text = |key: &str| cell(session[key].as_str());
    let time = |key: &str| cell(session[key].as_str().map(minutes).as_deref());
    [text("handle"), text("user"), time("created"), time("last_seen"), time("expires"), text("address"), text("agent")]
}

/// `2026-11-21T18:11:46.123Z` → `2026-11-21 18:11`
fn minutes(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

fn show(operator: &Operator, handle: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let answer = match handle {
        Some(handle) => operator.ask("GET", &session_path(handle), None, PATIENCE)?,
        None => {
            let id = read_id()?;
            operator.ask("POST", &format!("{API}/sessions/lookup"), Some(&json!({ "id": &*id })), PATIENCE)?
        }
    };
    let Some(session) = answer.found()? else { bail!("there is no living session of this name or id") };
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{session}")?;
    } else {
        let fields = session.as_object().into_iter().flatten();
        let rows: Vec<_> = fields.map(|(key, value)| [format!("{key}:"), shown(value)]).collect();
        let table = Table::new(&rows, None);
        rows.iter().try_for_each(|row| writeln!(out, "{}", table.line(row)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Text as it is, everything else as JSON; nothing of it steers the terminal.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => cell(None),
        Value::String(text) => cell(Some(text)),
        other => cell(Some(&other.to_string())),
    }
}

fn read_id() -> anyhow::Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        return Ok(Zeroizing::new(rpassword::prompt_password("Session id: ").context("reading the id")?));
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(64 * 1024).read_to_string(&mut text).context("reading the id from standard input")?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned()))
}

fn revoke(operator: &Operator, handles: &[String]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for handle in handles {
        match operator.ask("DELETE", &session_path(handle), None, PATIENCE)?.found()? {
            Some(_) => println!("{handle}: ended"),
            None => {
                // SECURITY: what is no handle may be an id, and is not repeated.
                let name = if is_handle(handle) { handle } else { "an argument that is no handle" };
                eprintln!("{name}: there is no living session of this name");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn revoke_all_of(operator: &Operator, user: &str) -> anyhow::Result<ExitCode> {
    let path = format!("{API}/users/{}/sessions", utf8_percent_encode(user, NON_ALPHANUMERIC));
    let answer = operator.ask("DELETE", &path, None, PATIENCE)?;
    println!("{}", counted(&answer.found()?.context("the gateway takes no such name")?, "session", "ended")?);
    Ok(ExitCode::SUCCESS)
}

fn clear_expired(operator: &Operator) -> anyhow::Result<ExitCode> {
    let spinner = spinner("deleting what has expired");
    let answer = operator.ask("POST", &format!("{API}/sessions/clear-expired"), None, PATIENCE);
    spinner.finish_and_clear();
    println!("{}", counted(&answer?.found()?.context("the gateway cannot do this")?, "expired session", "deleted")?);
    Ok(ExitCode::SUCCESS)
}

fn counted(answer: &Value, what: &str, done: &str) -> anyhow::Result<String> {
    match answer["deleted"].as_u64().context("the gateway does not say how many")? {
        1 => Ok(format!("1 {what} {done}")),
        count => Ok(format!("{count} {what}s {done}")),
    }
}

fn session_path(handle: &str) -> String {
    format!("{API}/sessions/{}", utf8_percent_encode(handle, NON_ALPHANUMERIC))
}

fn is_handle(text: &str) -> bool {
    text.parse::<crate::store::Handle>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_what_a_person_reads() {
        let session = json!({ "handle": "00ff", "user": null, "created": "2026-11-21T18:11:46.123Z", "last_seen": "",
            "expires": null, "address": "192.0.2.7", "agent": "x\u{1b}y" });
        assert_eq!(row(&session), ["00ff", "-", "2026-11-21 18:11", "-", "-", "192.0.2.7", "x\u{fffd}y"]);
    }

    #[test]
    fn counts_read_as_words() {
        let counted = |count| counted(&json!({ "deleted": count }), "session", "ended").unwrap();
        assert_eq!((counted(0).as_str(), counted(1).as_str()), ("0 sessions ended", "1 session ended"));
    }
}
