//! A console that several VMs share, taken apart as it comes. The rules are in [`bundle::console`].

use super::console::{Capture, Line, without_return};
use super::reports::Reports;
use bundle::console::{CONTINUATION, ERASE, SEPARATOR, can_prefix};
use std::time::Duration;

/// Most bytes of a line before it is taken for ended. The monitor's are shorter by far.
const LONGEST: usize = 64 << 10;

/// What a VM or the monitor said next. All of one speaker's put together is its console.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The VM's place in the list that [`Splitter::new`] was given; `None` for the monitor and the
    /// firmware.
    pub vm: Option<usize>,
    /// When its first byte came.
    pub at: Duration,
    /// The text, with `\n` between lines.
    pub text: &'a [u8],
}

/// Takes a console apart.
///
/// What a VM said is given as soon as it is whole on the console, the `\n` after it when the VM's next
/// line begins: until then more of the same line may come.
#[derive(Debug)]
pub struct Splitter {
    vms: Vec<String>,
    /// Whether each VM has begun a line.
    begun: Vec<bool>,
    /// The console's line that has no end yet, and when its first byte came.
    line: Vec<u8>,
    began: Duration,
}

impl Splitter {
    /// A splitter for these VMs; lines with other names count as the monitor's.
    pub fn new(vms: &[String]) -> Self {
        Self {
            vms: vms.to_vec(),
            begun: vec![false; vms.len()],
            line: Vec::new(),
            began: Duration::ZERO,
        }
    }

    /// Takes what came on the console at `at`, and tells what was said.
    pub fn push(&mut self, bytes: &[u8], at: Duration, mut tell: impl FnMut(Said)) {
        for &byte in bytes {
            if self.line.is_empty() {
                self.began = at;
            }
            self.line.push(byte);
            if byte == b'\n' || self.line.len() == LONGEST {
                self.end_line(&mut tell);
            } else if self.line.ends_with(ERASE.as_bytes()) {
                self.line.clear();
            }
        }
    }

    /// The console has ended, and with it each line.
    pub fn finish(&mut self, mut tell: impl FnMut(Said)) {
        if !self.line.is_empty() {
            self.end_line(&mut tell);
        }
        for (vm, begun) in self.begun.iter_mut().enumerate() {
            if std::mem::take(begun) {
                let (vm, at, text) = (Some(vm), self.began, &b"\n"[..]);
                tell(Said { vm, at, text });
            }
        }
    }

    fn end_line(&mut self, tell: &mut impl FnMut(Said)) {
        let line = std::mem::take(&mut self.line);
        let line = without_return(line.strip_suffix(b"\n").unwrap_or(&line));
        let at = self.began;
        let own = split(line).and_then(|part| {
            let vm = self.vms.iter().position(|vm| vm == part.name)?;
            Some((vm, part))
        });
        let Some((vm, part)) = own else {
            let text = &[line, b"\n"].concat();
            return tell(Said { vm: None, at, text });
        };
        let begun = std::mem::replace(&mut self.begun[vm], true);
        let end: &[u8] = if begun && !part.continues { b"\n" } else { b"" };
        let (vm, text) = (Some(vm), &[end, part.text].concat());
        tell(Said { vm, at, text });
    }
}

/// A VM's line on the console.
#[derive(Debug, Eq, PartialEq)]
struct Part<'a> {
    name: &'a str,
    /// Whether it goes on with the VM's last line.
    continues: bool,
    text: &'a [u8],
}

/// Takes a line without its end apart. `None` if it is no VM's but the monitor's or the firmware's.
fn split(line: &[u8]) -> Option<Part<'_>> {
    // Names have no blanks, so the first one is a separator's.
    let blank = line.iter().position(|&byte| byte == b' ')?;
    let (start, text) = line.split_at(blank + 1);
    let start = str::from_utf8(start).ok()?;
    let (name, continues) = match start.strip_suffix(SEPARATOR) {
        Some(name) => (name, false),
        None => (start.strip_suffix(CONTINUATION)?, true),
    };
    can_prefix(name).then_some(Part {
        name,
        continues,
        text,
    })
}

/// The consoles that share one, each captured on its own.
#[derive(Debug)]
pub struct Captures {
    splitter: Splitter,
    /// In the order of the VMs, then the monitor's.
    captures: Vec<Capture>,
}

impl Captures {
    /// Captures of these VMs, each as [`Capture::new`].
    pub fn new(vms: &[String], most: usize) -> Self {
        Self {
            splitter: Splitter::new(vms),
            captures: (0..=vms.len()).map(|_| Capture::new(most)).collect(),
        }
    }

    /// Takes what came on the shared console at `at`.
    pub fn push(&mut self, bytes: &[u8], at: Duration) {
        let captures = &mut self.captures;
        self.splitter.push(bytes, at, |said| add(captures, said));
    }

    fn place(&self, vm: &str) -> Option<usize> {
        self.splitter.vms.iter().position(|name| name == vm)
    }

    /// The capture of a VM; `None` when there is no such VM.
    pub fn of(&mut self, vm: &str) -> Option<&mut Capture> {
        self.place(vm).map(|vm| &mut self.captures[vm])
    }

    /// A VM's lines that have ended; none when there is no such VM.
    pub fn lines_of(&self, vm: &str) -> &[Line] {
        let capture = self.place(vm).map(|vm| &self.captures[vm]);
        capture.map_or(&[], Capture::lines)
    }

    /// The lines of each VM, then the monitor's, and what the monitor reported.
    pub fn finish(mut self) -> (Vec<Vec<Line>>, Reports) {
        let captures = &mut self.captures;
        self.splitter.finish(|said| add(captures, said));
        let finished = self.captures.into_iter().map(Capture::finish);
        let (lines, mut reports): (Vec<_>, Vec<_>) = finished.unzip();
        (lines, reports.pop().unwrap_or_default())
    }
}

fn add(captures: &mut [Capture], said: Said) {
    let monitor = captures.len() - 1;
    captures[said.vm.unwrap_or(monitor)].push(said.text, said.at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use terminal::{HELD, Mode, Terminal};

    const MS: Duration = Duration::from_millis(1);
    const NAMES: [&str; 2] = ["a", "b-2"];

    fn names() -> Vec<String> {
        NAMES.map(str::to_owned).to_vec()
    }

    /// What the VMs, then the monitor, said so far.
    type Consoles = [Vec<u8>; 3];

    fn note(consoles: &mut Consoles, said: Said) {
        consoles[said.vm.unwrap_or(2)].extend(said.text);
    }

    #[test]
    fn a_line_begins_with_its_vm() {
        let split = |line: &'static str| {
            let part = split(line.as_bytes())?;
            Some((
                part.name,
                part.continues,
                str::from_utf8(part.text).unwrap(),
            ))
        };
        assert_eq!(split("a-1| one| two"), Some(("a-1", false, "one| two")));
        assert_eq!(split("a-1+ one| two"), Some(("a-1", true, "one| two")));
        assert_eq!(split("6.12+deb13| a"), Some(("6.12+deb13", false, "a")));
        assert_eq!(split("a-1| one+ two"), Some(("a-1", false, "one+ two")));
        assert_eq!(split("a-1| "), Some(("a-1", false, "")));
        assert_eq!(
            split("a| patchvisor: error: no"),
            Some(("a", false, "patchvisor: error: no"))
        );
        for line in [
            "patchvisor: error: a| b",
            r" | |  | | '_ \ / _ \ '_ \ \___ \",
            "a|b",
            "a|+ text",
            "| text",
            "+ text",
            "",
        ] {
            assert_eq!(split(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_grows_although_others_come_between() {
        let mut captures = Captures::new(&names(), 1000);
        captures.push(b"a| log\r\nb-2| short\r\n", MS);
        captures.push(b"patchvisor: a word\r\n", 2 * MS);
        captures.push(b"a+ in: \r\n", 3 * MS);
        assert!(captures.of("a").unwrap().find("login: ", &mut 0));
        captures.push(b"a| root\r\n", 4 * MS);
        let lines = captures.finish().0.into_iter().map(|lines| {
            let lines = lines.into_iter();
            lines
                .map(|line| (line.at.as_millis(), line.text))
                .collect::<Vec<_>>()
        });
        let line = |at: u128, text: &str| (at, text.to_owned());
        let expected = [
            vec![line(1, "login: "), line(4, "root")],
            vec![line(1, "short")],
            vec![line(2, "patchvisor: a word")],
        ];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_that_the_prompt_made_room_for_came_after_the_prompt() {
        let mut captures = Captures::new(&names(), 1000);
        captures.push(b"patchvisor> vm", MS);
        captures.push(b"\r\x1b[Ka| text\r\npatchvisor> vm", 9 * MS);
        let (lines, _) = captures.finish();
        assert_eq!((lines[0][0].at, &*lines[0][0].text), (9 * MS, "text"));
        assert_eq!(lines[2][0].text, "patchvisor> vm");
    }

    #[test]
    fn names_of_no_vm_are_the_monitors() {
        let mut consoles = Consoles::default();
        let mut splitter = Splitter::new(&names());
        splitter.push(b"c| text\r\n", MS, |said| note(&mut consoles, said));
        assert_eq!(consoles[2], b"c| text\n");
    }

    /// What happens on a terminal.
    #[derive(Clone, Debug)]
    enum Event {
        Output(usize, Vec<u8>),
        Say(String),
        Flush,
        /// The next console gets the focus, the shell's too.
        Next,
        /// In the shell; a VM gets it otherwise.
        Typed(String),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let byte = prop_oneof![
            6 => b'a'..=b'z',
            2 => Just(b'\n'),
            2 => Just(b'\r'),
            1 => prop::sample::select(b"|+ab-2 ".as_slice()),
            1 => any::<u8>(),
        ];
        let lines = (0..2_usize, prop::collection::vec(byte, 0..60));
        let long = (0..2_usize, prop::collection::vec(b' '..=b'~', 0..3 * HELD));
        let event = prop_oneof![
            6 => lines.prop_map(|(vm, bytes)| Event::Output(vm, bytes)),
            1 => long.prop_map(|(vm, bytes)| Event::Output(vm, bytes)),
            1 => "[ -~]{0,40}".prop_map(Event::Say),
            2 => Just(Event::Flush),
            1 => Just(Event::Next),
            1 => r"[ -~\r]{1,9}".prop_map(Event::Typed),
        ];
        prop::collection::vec(event, 0..40)
    }

    /// How the terminal shows what a VM printed: all that is documented to change.
    fn shown(printed: &[u8]) -> Vec<u8> {
        let mut lines: Vec<_> = printed
            .split(|&byte| byte == b'\n')
            .map(without_return)
            .collect();
        if lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        let mut shown = Vec::new();
        for line in lines {
            for &byte in line {
                match byte {
                    b'\t' | 0x1b => shown.push(byte),
                    0..b' ' | 0x7f => shown.extend([b'^', byte ^ 0x40]),
                    _ => shown.push(byte),
                }
            }
            shown.push(b'\n');
        }
        shown
    }

    proptest! {
        #[test]
        fn whatever_vms_print_in_whatever_chunks_is_what_they_said(
            events in events(),
            chunk in 1..100_usize,
        ) {
            let sent = RefCell::new(Vec::new());
            let sink = |bytes: &[u8]| sent.borrow_mut().extend_from_slice(bytes);
            let mut terminal = Terminal::new(sink, names(), Mode::Prefixed);
            let mut printed = Consoles::default();
            let mut splitter = Splitter::new(&names());
            let mut consoles = Consoles::default();
            for event in events {
                match event {
                    Event::Output(vm, bytes) => {
                        printed[vm].extend(&bytes);
                        terminal.output(vm, &bytes);
                    }
                    Event::Say(text) => {
                        terminal.say(&text);
                        printed[2].extend(text.lines().flat_map(|line| {
                            [b"patchvisor: ", line.as_bytes(), b"\n"].concat()
                        }));
                    }
                    Event::Flush => terminal.flush(),
                    Event::Next => {
                        terminal.input(terminal::keys::PREFIX);
                        terminal.input(b'n');
                    }
                    Event::Typed(text) => text.bytes().for_each(|byte| {
                        terminal.input(byte);
                    }),
                }
                if !terminal.holds() {
                    for chunk in sent.take().chunks(chunk) {
                        splitter.push(chunk, MS, |said| note(&mut consoles, said));
                    }
                    // All is told, but for the end of each last line.
                    for (said, printed) in consoles.iter().zip(&printed).take(2) {
                        let shown = shown(printed);
                        prop_assert_eq!(said, shown.strip_suffix(b"\n").unwrap_or(&shown));
                    }
                }
            }
            terminal.flush();
            splitter.push(&sent.take(), MS, |said| note(&mut consoles, said));
            splitter.finish(|said| note(&mut consoles, said));
            prop_assert_eq!(&consoles[0], &shown(&printed[0]));
            prop_assert_eq!(&consoles[1], &shown(&printed[1]));
            let monitor = String::from_utf8(consoles[2].clone()).unwrap();
            let mut monitor = monitor.lines();
            for said in String::from_utf8(printed[2].clone()).unwrap().lines() {
                prop_assert!(monitor.any(|line| line == said), "{}", said);
            }
        }
    }
}
