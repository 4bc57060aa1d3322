//! `cloakroom observe`: a deployer signs in to an app once, and gets the configuration for it.
//!
//! Talks to the person on standard error; standard output gets the YAML, or JSON, and nothing else.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;

use super::Signals;
use crate::config;
use crate::survey::{self, Findings, News};

#[derive(clap::Args)]
pub struct Options {
    /// The app, as http://HOST:PORT
    #[arg(long, value_name = "URL")]
    url: String,
    /// Where to listen for your browser
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// What the app is called (Host): `preserve` as in your browser, `upstream` as in the URL, or a name
    #[arg(long, value_name = "HOST", default_value = "preserve")]
    host: String,
    /// End when you have signed out, without Ctrl-C
    #[arg(long)]
    once: bool,
    /// Print all that was found as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let (survey, news) = survey::start(&options.url, options.host.clone().into(), options.listen)?;
    say(&welcome(&options.url, survey.address(), options.once));
    signals.wait_for_the_end_or(hear(news, options.once));
    let findings = survey.finish()?;
    let yaml = findings.yaml();
    if !findings.login.is_empty() {
        report_own_mistakes(&findings.url, &yaml);
    }
    let text = if options.json { serde_json::to_string_pretty(&findings)? + "\n" } else { yaml };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")?;
    Ok(verdict(&findings))
}

fn welcome(url: &str, address: SocketAddr, once: bool) -> String {
    let end = if once { "Sign out." } else { "Sign out, then press Ctrl-C here." };
    format!(
        "Open http://{address}/ in a private browser window: it is {url}, looked on.\n\
         \x20 1. Sign in with a wrong password first: that shows what a failure looks like.\n\
         \x20 2. Sign in.\n\
         \x20 3. Open a page or two that show your name, such as your profile.\n\
         \x20 4. {end}\n\
         What you type is not kept, but for your user name while this runs."
    )
}

/// Tells what happens; returns when a sign-out was seen, if that is the end.
async fn hear(mut news: tokio::sync::mpsc::UnboundedReceiver<News>, once: bool) {
    let mut attempts = 0;
    while let Some(heard) = news.recv().await {
        match heard {
            News::Attempt(path, status) => {
                attempts += 1;
                let next = if attempts == 1 { " If it was the wrong one, sign in with the right one now." } else { "" };
                say(&format!("Seen: a password at {path}, answered with {status}.{next}"));
            }
            News::SignOut(path) => {
                say(&format!("Seen: a sign-out at {path}."));
                if once {
                    return;
                }
            }
            News::Silent(why) => say(&format!("The app does not answer: {why}")),
        }
    }
    // The pass-through is gone; a signal is still waited for.
    std::future::pending::<()>().await;
}

fn say(text: &str) {
    for line in text.lines() {
        eprintln!("{}", survey::printable(line));
    }
}

/// What is printed is loaded as the gateway would, either way.
fn report_own_mistakes(url: &str, yaml: &str) {
    let other = survey::switched(yaml).map(|sections| {
        let form = "login: { form: { users: [{ name: somebody, password: $$2b$$x }] } }";
        survey::as_route(url, &sections).replacen("login: { form: null }", form, 1)
    });
    for whole in [Some(survey::as_route(url, yaml)), other].into_iter().flatten() {
        if let Err(problems) = config::parse(&whole, "observe", &|_| None) {
            say(&format!("The YAML is not right, which is a mistake of this program:\n{problems}"));
        }
    }
}

/// 1 when there is nothing to configure: the output says what was missing.
fn verdict(findings: &Findings) -> ExitCode {
    if findings.login.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
