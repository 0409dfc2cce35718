//! What a console has said: bytes as they came, and lines with their times.

use std::io::Write;
use std::time::Duration;

/// One line of a console.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// When its first byte came, counted from the start of the machine.
    pub at: Duration,
    /// The line without its end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Where a console is shown while it is captured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Show {
    /// On standard output.
    StandardOutput,
    /// On standard error.
    StandardError,
}

impl Show {
    /// Shows some bytes. A reader that went away is no reason to stop the machine.
    pub fn write(self, bytes: &[u8]) {
        let _ = match self {
            Self::StandardOutput => {
                let mut out = std::io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            Self::StandardError => std::io::stderr().lock().write_all(bytes),
        };
    }
}

/// Collects a console's output.
#[derive(Debug, Default)]
pub struct Capture {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    /// When the line that has no end yet began, and where.
    open: Option<(Duration, usize)>,
    /// Up to where [`Self::find`] has looked successfully.
    seen: usize,
}

impl Capture {
    /// Takes bytes that came at `at`.
    pub fn push(&mut self, bytes: &[u8], at: Duration) {
        for &byte in bytes {
            let position = self.bytes.len();
            self.bytes.push(byte);
            let (began, start) = *self.open.get_or_insert((at, position));
            if byte == b'\n' {
                self.lines.push(line(&self.bytes[start..position], began));
                self.open = None;
            }
        }
    }

    /// Whether `text` has come after what the last successful call found; moves past it if so.
    ///
    /// `looked` is 0 at first; it keeps how far failed calls for the same text have looked.
    pub fn find(&mut self, text: &str, looked: &mut usize) -> bool {
        let width = text.len().max(1);
        let start = self.seen.max(looked.saturating_sub(width - 1));
        let found = self.bytes[start..]
            .windows(width)
            .position(|window| window == text.as_bytes());
        if let Some(at) = found {
            self.seen = start + at + text.len();
        }
        *looked = self.bytes.len();
        found.is_some()
    }

    /// Everything so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines that have ended.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// All lines, with the last one whether it ended or not.
    pub fn finish(mut self) -> (Vec<u8>, Vec<Line>) {
        if let Some((began, start)) = self.open {
            self.lines.push(line(&self.bytes[start..], began));
        }
        (self.bytes, self.lines)
    }
}

fn line(bytes: &[u8], at: Duration) -> Line {
    Line {
        at,
        text: String::from_utf8_lossy(without_return(bytes)).into_owned(),
    }
}

/// A line less the carriage returns at its end.
pub fn without_return(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&byte| byte != b'\r');
    &line[..end.map_or(0, |last| last + 1)]
}

/// When the first of `lines` that contains `marker` began.
pub fn marker(lines: &[Line], marker: &str) -> Option<Duration> {
    let mut lines = lines.iter();
    lines
        .find(|line| line.text.contains(marker))
        .map(|line| line.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn lines_have_the_time_of_their_first_byte() {
        let mut capture = Capture::default();
        capture.push(b"one\r\ntw", MS);
        capture.push(b"o\r\n\r\nrest", 2 * MS);
        let (bytes, lines) = capture.finish();
        assert_eq!(bytes, b"one\r\ntwo\r\n\r\nrest");
        let expected = [(1, "one"), (1, "two"), (2, ""), (2, "rest")];
        let lines: Vec<_> = lines
            .iter()
            .map(|line| (line.at.as_millis(), line.text.as_str()))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn find_moves_past_what_it_found() {
        let mut capture = Capture::default();
        capture.push(b"prompt> ls\r\nprom", MS);
        assert!(capture.find("prompt> ", &mut 0));
        let mut looked = 0;
        assert!(!capture.find("prompt> ", &mut looked));
        capture.push(b"pt> ", MS);
        assert!(capture.find("prompt> ", &mut looked));
        assert!(!capture.find("prompt> ", &mut looked));
    }
}
