//! Which Debian mirror this machine uses, read from apt's own configuration.

use anyhow::{Context, Result};
use std::path::Path;

/// Overrides what is found.
const VARIABLE: &str = "PATCHVISOR_DEBIAN_MIRROR";

/// One source of binary packages.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Source {
    uri: String,
    suite: String,
}

/// The code name of this machine's Debian release, such as `bookworm`.
pub fn release() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
}

/// The mirror of the main archive, without a slash at its end.
///
/// # Errors
/// When apt's configuration names none.
pub fn main() -> Result<String> {
    if let Ok(mirror) = std::env::var(VARIABLE) {
        return Ok(mirror.trim_end_matches('/').to_owned());
    }
    let sources = sources(Path::new("/etc/apt"));
    choose(&sources, release().as_deref()).with_context(|| {
        format!("apt's sources name no Debian mirror: set {VARIABLE} to the URL of one")
    })
}

/// Whether apt knows a suite already.
pub fn has_suite(suite: &str) -> bool {
    sources(Path::new("/etc/apt"))
        .iter()
        .any(|source| source.suite == suite)
}

/// Prefers the release that runs here; any other Debian suite of the main archive is as good.
fn choose(sources: &[Source], release: Option<&str>) -> Option<String> {
    const SUITES: [&str; 7] = [
        "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable",
    ];
    let own = sources
        .iter()
        .find(|source| Some(source.suite.as_str()) == release);
    own.filter(|source| SUITES.contains(&source.suite.as_str()))
        .or_else(|| {
            sources
                .iter()
                .find(|source| SUITES.contains(&source.suite.as_str()))
        })
        .map(|source| source.uri.trim_end_matches('/').to_owned())
}

fn sources(directory: &Path) -> Vec<Source> {
    let mut files = vec![directory.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(directory.join("sources.list.d")) {
        let mut parts: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts);
    }
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line_style(&text)),
            Some("sources") => sources.extend(deb822_style(&text)),
            _ => {}
        }
    }
    sources
}

/// sources.list(5), "one-line-style format": `deb [options] uri suite component...`.
fn one_line_style(text: &str) -> Vec<Source> {
    let parse = |line: &str| {
        let rest = line.trim().strip_prefix("deb")?;
        if !rest.starts_with(char::is_whitespace) {
            return None;
        }
        let rest = match rest.trim_start().strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        words.any(|component| component == "main").then(|| Source {
            uri: uri.into(),
            suite: suite.into(),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// sources.list(5), "deb822-style format": stanzas of fields.
fn deb822_style(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with(char::is_whitespace) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let words = |name: &str| {
            fields
                .iter()
                .filter(|(field, _)| field == name)
                .flat_map(|(_, value)| value.split_whitespace())
                .collect::<Vec<_>>()
        };
        let off = words("enabled").first() == Some(&"no");
        if off || !words("types").contains(&"deb") || !words("components").contains(&"main") {
            continue;
        }
        for uri in words("uris") {
            for suite in words("suites") {
                sources.push(Source {
                    uri: uri.into(),
                    suite: suite.into(),
                });
            }
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suite: &str) -> Source {
        Source {
            uri: uri.into(),
            suite: suite.into(),
        }
    }

    #[test]
    fn one_line_sources_are_read() {
        let text = "# deb http://comment/ bookworm main\n\
                    deb-src http://source/ bookworm main\n\
                    deb [arch=amd64 signed-by=/a.gpg] http://a/debian bookworm main contrib\n\
                    deb http://b/x other-suite contrib\n\
                    deb https://c/debian-security bookworm-security main\n";
        let expected = [
            source("http://a/debian", "bookworm"),
            source("https://c/debian-security", "bookworm-security"),
        ];
        assert_eq!(one_line_style(text), expected);
    }

    #[test]
    fn deb822_sources_are_read() {
        let text = "Types: deb\n# a comment\nURIs: http://a/debian\nSuites: bookworm\n bookworm-updates\n\
                    Components: main\n\nTypes: deb\nEnabled: no\nURIs: http://b\nSuites: sid\nComponents: main\n\n\
                    Types: deb-src\nURIs: http://c\nSuites: sid\nComponents: main\n";
        let expected = [
            source("http://a/debian", "bookworm"),
            source("http://a/debian", "bookworm-updates"),
        ];
        assert_eq!(deb822_style(text), expected);
    }

    #[test]
    fn the_release_that_runs_here_is_preferred_and_third_parties_are_not_mirrors() {
        let sources = [
            source("http://vendor/apt", "vendor-suite"),
            source("http://old/debian/", "trixie"),
            source("http://own/debian/", "bookworm"),
        ];
        let chosen = |release| choose(&sources, release);
        assert_eq!(
            chosen(Some("bookworm")).as_deref(),
            Some("http://own/debian")
        );
        assert_eq!(chosen(None).as_deref(), Some("http://old/debian"));
        assert_eq!(choose(&sources[..1], Some("vendor-suite")), None);
    }
}
