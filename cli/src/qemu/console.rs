//! What a console has said: bytes as they came, and lines with their times.

use super::reports::Reports;
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

/// Collects a console's output: the newest part of it, so that memory is bounded whatever a guest prints.
///
/// Positions count from the console's first byte, kept or not.
#[derive(Debug)]
pub struct Capture {
    /// Most bytes that [`Self::bytes`] and [`Self::lines`] take, each.
    most: usize,
    bytes: Vec<u8>,
    /// How many bytes came before those that are kept.
    dropped: usize,
    lines: Vec<Line>,
    /// How many lines have ended.
    ended: usize,
    /// What the lines take, in bytes.
    taken: usize,
    /// When the line that has no end yet began, and where.
    open: Option<(Duration, usize)>,
    /// Up to where [`Self::find`] has looked successfully.
    seen: usize,
    reports: Reports,
}

impl Capture {
    /// A capture that keeps about so many of the newest bytes, and as many of lines.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            bytes: Vec::new(),
            dropped: 0,
            lines: Vec::new(),
            ended: 0,
            taken: 0,
            open: None,
            seen: 0,
            reports: Reports::default(),
        }
    }

    /// Takes bytes that came at `at`.
    pub fn push(&mut self, bytes: &[u8], at: Duration) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let position = self.position();
            let (began, start) = *self.open.get_or_insert((at, position));
            self.bytes.extend(piece);
            if piece.ends_with(b"\n") {
                let end = self.bytes.len() - 1;
                self.end_line(began, start, end);
            }
        }
        if self.bytes.len() > self.most {
            let surplus = self.bytes.len() - self.most / 2;
            self.bytes.drain(..surplus);
            self.dropped += surplus;
        }
    }

    /// The line from position `start` to `end`, an index of the bytes that are kept, has ended.
    fn end_line(&mut self, began: Duration, start: usize, end: usize) {
        let line = line(&self.bytes[self.index(start)..end], began);
        self.open = None;
        self.reports.note(&line.text);
        self.taken += cost(&line);
        self.lines.push(line);
        self.ended += 1;
        if self.taken > self.most {
            // Half of them at a time, so that each line is moved once or twice in all.
            let mut surplus = self.taken - self.most / 2;
            let keep = self.lines.len() - 1;
            let drop = self.lines[..keep].iter().take_while(|line| {
                let more = surplus > 0;
                surplus = surplus.saturating_sub(cost(line));
                more
            });
            let drop = drop.count();
            self.taken -= self
                .lines
                .drain(..drop)
                .map(|line| cost(&line))
                .sum::<usize>();
        }
    }

    /// Where a position is in the bytes that are kept; their start for what is gone.
    fn index(&self, position: usize) -> usize {
        position.saturating_sub(self.dropped)
    }

    /// Whether `text` has come after what the last successful call found; moves past it if so.
    ///
    /// `looked` is 0 at first; it keeps how far failed calls for the same text have looked.
    pub fn find(&mut self, text: &str, looked: &mut usize) -> bool {
        let width = text.len().max(1);
        let start = self.index(self.seen.max(looked.saturating_sub(width - 1)));
        let found = self.bytes[start..]
            .windows(width)
            .position(|window| window == text.as_bytes());
        if let Some(at) = found {
            self.seen = self.dropped + start + at + text.len();
        }
        *looked = self.position();
        found.is_some()
    }

    /// How many bytes have come.
    pub fn position(&self) -> usize {
        self.dropped + self.bytes.len()
    }

    /// What came from `position` on, as far as it is kept.
    pub fn since(&self, position: usize) -> &[u8] {
        &self.bytes[self.index(position)..]
    }

    /// The lines that have ended, the newest of them.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many lines have ended.
    pub fn ended(&self) -> usize {
        self.ended
    }

    /// The lines that ended after the first `count`, as far as they are kept.
    pub fn lines_since(&self, count: usize) -> &[Line] {
        let new = self.ended.saturating_sub(count).min(self.lines.len());
        &self.lines[self.lines.len() - new..]
    }

    /// The newest lines, with the last one whether it ended or not, and what the monitor reported.
    pub fn finish(mut self) -> (Vec<Line>, Reports) {
        if let Some((began, start)) = self.open {
            self.end_line(began, start, self.bytes.len());
        }
        (self.lines, self.reports)
    }
}

/// What a line takes, in bytes.
fn cost(line: &Line) -> usize {
    size_of::<Line>() + line.text.capacity()
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
        let mut capture = Capture::new(1000);
        capture.push(b"one\r\ntw", MS);
        capture.push(b"o\r\n\r\nrest", 2 * MS);
        assert_eq!(capture.since(3), b"\r\ntwo\r\n\r\nrest");
        let (lines, _) = capture.finish();
        let expected = [(1, "one"), (1, "two"), (2, ""), (2, "rest")];
        let lines: Vec<_> = lines
            .iter()
            .map(|line| (line.at.as_millis(), line.text.as_str()))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn find_moves_past_what_it_found() {
        let mut capture = Capture::new(1000);
        capture.push(b"prompt> ls\r\nprom", MS);
        assert!(capture.find("prompt> ", &mut 0));
        let mut looked = 0;
        assert!(!capture.find("prompt> ", &mut looked));
        capture.push(b"pt> ", MS);
        assert!(capture.find("prompt> ", &mut looked));
        assert!(!capture.find("prompt> ", &mut looked));
    }

    #[test]
    fn the_newest_is_kept_and_found_where_it_was() {
        const MOST: usize = 4096;
        let mut capture = Capture::new(MOST);
        let mut position = 0;
        for number in 0..10_000 {
            position = capture.position();
            capture.push(format!("line {number}\n").as_bytes(), MS);
            assert!(capture.bytes.len() <= MOST && capture.taken <= MOST);
            assert!(capture.find(&number.to_string(), &mut 0), "{number}");
        }
        assert_eq!(capture.since(position), b"line 9999\n");
        assert!(!capture.find("line", &mut 0));
        // A line longer than all that is kept has its end.
        capture.push(&[b'x'; 2 * MOST], MS);
        capture.push(b"y\n", MS);
        let (lines, _) = capture.finish();
        let (last, before) = lines.split_last().unwrap();
        assert!(last.text.ends_with("xy") && last.text.len() <= MOST);
        let before: Vec<_> = before.iter().map(|line| line.text.as_str()).collect();
        let expected: Vec<_> = (0..10_000).map(|number| format!("line {number}")).collect();
        assert!(
            expected.ends_with(
                &before
                    .iter()
                    .map(|&text| text.to_owned())
                    .collect::<Vec<_>>()
            )
        );
    }
}
