//! Checks of listeners, workers, proxies, limits and the admin address.

use std::path::Path;

use super::Checks;
use super::syntax::is_normal_path;
use crate::config::files::{self, MAX_CONFIG_BYTES};
use crate::config::schema::{Config, Limits, Listener, ListenerAddress, Size, Tls};
use crate::config::secret_files::warn_if_world_readable;

pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    if config.listeners.is_empty() {
        checks.problem("listeners", "at least one listener is needed, such as `- address: 0.0.0.0:8080`");
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        check_listener(index, listener, &config.listeners[..index], checks);
    }
    check_trusted_proxies(config, checks);
    check_prefix(&config.prefix, checks);
    if config.data_dir.as_os_str().is_empty() {
        checks.problem("data_dir", "must name a directory");
    }
    check_limits(&config.limits, checks);
    check_admin(config, checks);
}

fn check_listener(index: usize, listener: &Listener, earlier: &[Listener], checks: &mut Checks<'_>) {
    let path = format!("listeners[{index}]");
    let any_port = matches!(&listener.address, ListenerAddress::Tcp(address) if address.port() == 0);
    if !any_port && earlier.iter().any(|other| other.address == listener.address) {
        checks.problem(format!("{path}.address"), format!("{} is already given above", listener.address));
    }
    let Some(tls) = &listener.tls else { return };
    if listener.redirect_to_https {
        checks.problem(
            format!("{path}.redirect_to_https"),
            "this listener has `tls`, so its requests are https already; put redirect_to_https on a listener without",
        );
    }
    check_tls(&path, tls, checks);
}

/// Whether the files fit together is seen when they are loaded.
fn check_tls(listener: &str, tls: &Tls, checks: &mut Checks<'_>) {
    for (key, file) in [("certificate", &tls.certificate), ("key", &tls.key)] {
        if file.as_os_str().is_empty() {
            checks.problem(format!("{listener}.tls.{key}"), "is needed: the path of a PEM file");
        } else if let Err(failure) = files::read_text(file, MAX_CONFIG_BYTES) {
            checks.problem(format!("{listener}.tls.{key}"), format!("{} {failure}", file.display()));
        } else if key == "key" {
            warn_if_world_readable(&format!("{listener}.tls.key"), Path::new(file), checks);
        }
    }
}

fn check_trusted_proxies(config: &Config, checks: &mut Checks<'_>) {
    for (index, network) in config.trusted_proxies.iter().enumerate() {
        if network.prefix_len() == 0 {
            checks.warning(
                format!("trusted_proxies[{index}]"),
                "everybody is trusted: any client can claim any address and scheme; name the proxies in front only",
            );
        }
    }
}

fn check_prefix(prefix: &str, checks: &mut Checks<'_>) {
    if !prefix.starts_with('/') {
        checks.problem("prefix", "must begin with `/`");
    } else if prefix == "/" {
        checks.problem("prefix", "must not be `/`: the gateway's pages would hide the apps");
    } else if prefix.ends_with('/') {
        checks.problem("prefix", "must not end with `/`");
    } else if !is_normal_path(prefix) || !prefix.is_ascii() {
        checks.problem("prefix", "expected a plain path such as /.session, without `%`, `..`, `//` or spaces");
    }
}

fn check_limits(limits: &Limits, checks: &mut Checks<'_>) {
    let Limits {
        max_connections, max_head_size, head_timeout, keep_alive_timeout, body_timeout, write_timeout, ..
    } = *limits;
    if max_connections == 0 {
        checks.problem("limits.max_connections", "must be more than 0");
    }
    if !(Size::kib(4)..=Size::mib(1)).contains(&max_head_size) {
        checks.problem("limits.max_head_size", format!("must be from 4KiB to 1MiB, found {max_head_size}"));
    }
    let timeouts = [
        ("limits.head_timeout", head_timeout),
        ("limits.keep_alive_timeout", keep_alive_timeout),
        ("limits.body_timeout", body_timeout),
        ("limits.write_timeout", write_timeout),
    ];
    timeouts.into_iter().for_each(|(path, timeout)| checks.more_than_zero(path, timeout));
    if limits.unknown_ids_per_minute == Some(0) {
        checks.problem("limits.unknown_ids_per_minute", "must be more than 0; write null for no bound");
    }
}

fn check_admin(config: &Config, checks: &mut Checks<'_>) {
    let Some(address) = config.admin.address else { return };
    if !address.ip().to_canonical().is_loopback() && config.admin.token.is_none() {
        checks.problem(
            "admin.address",
            format!("{address} can be reached from other machines: set admin.token, or use a loopback address such as 127.0.0.1:9600"),
        );
    }
    check_token(config, checks);
    let clash = config.listeners.iter().any(|listener| listener.address == ListenerAddress::Tcp(address));
    if clash && address.port() != 0 {
        checks.problem("admin.address", format!("{address} is the address of a listener too"));
    }
}

fn check_token(config: &Config, checks: &mut Checks<'_>) {
    const SHORTEST: usize = 32;
    let Some(token) = config.admin.token.as_ref().map(|token| token.reveal()) else { return };
    let key = if config.admin.token_file.is_some() { "admin.token_file" } else { "admin.token" };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        checks.problem(key, "the token must be visible ASCII without blanks, as it stands in a header");
    } else if token.len() < SHORTEST {
        checks.warning(key, format!("the token is shorter than {SHORTEST} characters and may be guessed"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PUBLIC, each_is_refused, problems, warnings};

    #[test]
    fn listeners_that_cannot_work_are_refused() {
        each_is_refused(&[
            ("listeners: []", "listeners: at least one"),
            ("listeners: [{ address: '[::]:80' }, { address: '[::]:80' }]", "listeners[1].address: [::]:80 is already"),
            ("listeners: [{ address: 8080 }]", "listeners[0].address: expected IP:PORT"),
            ("listeners: [{ tls: { certificate: /dev/null } }]", "listeners[0].tls.key: is needed"),
            ("listeners: [{ tls: { certificate: /nowhere, key: /dev/null } }]", "/nowhere cannot be read"),
            (
                "listeners: [{ tls: { certificate: /dev/null, key: /dev/null }, redirect_to_https: true }]",
                "listeners[0].redirect_to_https: this listener has `tls`",
            ),
        ]);
    }

    #[test]
    fn a_free_port_may_be_asked_for_twice() {
        let text =
            "listeners: [{ address: '127.0.0.1:0' }, { address: '127.0.0.1:0' }]\nadmin: { address: '127.0.0.1:0' }\n";
        assert_eq!(problems(&format!("{text}{PUBLIC}")), [""; 0]);
    }

    #[test]
    fn the_admin_address_stays_on_loopback_or_has_a_token() {
        each_is_refused(&[
            ("admin: { address: '0.0.0.0:9600' }", "set admin.token"),
            ("admin: { address: '[2001:db8::1]:9600' }", "set admin.token"),
            ("admin: { token: '' }", "admin.token: the token must be visible ASCII"),
            ("admin: { token: 'two words' }", "admin.token: the token must be visible ASCII"),
            ("admin: { token: x, token_file: /dev/null }", "either `token` or `token_file`"),
            ("listeners: [{ address: '127.0.0.1:9600' }]", "is the address of a listener too"),
        ]);
        for good in
            ["admin: { address: null }", "admin: { address: '[::1]:9600' }", "admin: { address: '127.1.2.3:1' }"]
        {
            assert_eq!(problems(&format!("{good}\n{PUBLIC}")), [""; 0]);
        }
        let remote = |token: &str| format!("admin: {{ address: '0.0.0.0:9600', token: {token} }}\n{PUBLIC}");
        let weak = |token: &str| warnings(&remote(token)).iter().any(|warning| warning.starts_with("admin.token: "));
        assert_eq!((weak("short"), weak(&"t".repeat(32))), (true, false));
    }

    #[test]
    fn the_prefix_is_a_plain_path() {
        each_is_refused(&[
            ("prefix: gate", "must begin with `/`"),
            ("prefix: /", "must not be `/`"),
            ("prefix: /gate/", "must not end with `/`"),
            ("prefix: /a/../b", "expected a plain path"),
            ("prefix: /%61", "expected a plain path"),
        ]);
    }

    #[test]
    fn limits_have_bounds() {
        each_is_refused(&[
            ("limits: { max_connections: 0 }", "limits.max_connections: must be more than 0"),
            ("limits: { max_head_size: 1KiB }", "must be from 4KiB to 1MiB, found 1KiB"),
            ("limits: { max_head_size: 2MiB }", "must be from 4KiB to 1MiB"),
            ("limits: { body_timeout: 0s }", "limits.body_timeout: must be more than 0"),
            ("limits: { unknown_ids_per_minute: 0 }", "limits.unknown_ids_per_minute: must be more than 0; write null"),
        ]);
    }

    #[test]
    fn trusting_everybody_is_warned_of() {
        let warned = warnings(&format!("trusted_proxies: [10.0.0.0/8, 0.0.0.0/0, '::/0']\n{PUBLIC}"));
        assert!(warned[0].starts_with("trusted_proxies[1]: everybody is trusted"));
        assert!(warned[1].starts_with("trusted_proxies[2]: everybody is trusted"));
    }
}
