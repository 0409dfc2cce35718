//! A console that several VMs share, taken apart: `name| text` is a line of the VM `name`. The rules
//! are in [`bundle::console`].

use super::console::Line;
use bundle::console::{CONTINUES, PIECE, SEPARATOR, can_prefix};
use std::time::Duration;

/// Takes a line without its end apart, into a VM's name and what the VM said. `None` if it is no
/// VM's but the monitor's or the firmware's.
pub fn split(line: &[u8]) -> Option<(&str, &[u8])> {
    let separator = SEPARATOR.as_bytes();
    let end = line
        .windows(separator.len())
        .position(|window| window == separator)?;
    let name = str::from_utf8(&line[..end]).ok()?;
    can_prefix(name).then(|| (name, &line[end + separator.len()..]))
}

/// A whole line, and whose it is.
#[derive(Debug, Eq, PartialEq)]
pub struct Entry {
    /// The VM's place in the list that [`Splitter::new`] was given; `None` for the monitor.
    pub vm: Option<usize>,
    /// When its first byte came.
    pub at: Duration,
    /// What it says, without its end.
    pub text: Vec<u8>,
}

/// Takes a console apart line by line, and joins the pieces of lines that were too long for one.
#[derive(Debug)]
pub struct Splitter {
    vms: Vec<String>,
    /// For each VM, the pieces so far of a line that goes on.
    open: Vec<Option<(Duration, Vec<u8>)>>,
}

impl Splitter {
    /// A splitter for these VMs; lines with other names count as the monitor's.
    pub fn new(vms: &[String]) -> Self {
        Self {
            vms: vms.to_vec(),
            open: vec![None; vms.len()],
        }
    }

    /// Takes the next line, which came at `at`. Gives nothing while the line goes on.
    pub fn take(&mut self, line: &[u8], at: Duration) -> Option<Entry> {
        let own = split(line).and_then(|(name, text)| {
            let vm = self.vms.iter().position(|vm| vm == name)?;
            Some((vm, text))
        });
        let Some((vm, text)) = own else {
            let text = line.to_vec();
            return Some(Entry { vm: None, at, text });
        };
        let (at, mut joined) = self.open[vm].take().unwrap_or((at, Vec::new()));
        match text.split_last() {
            Some((&CONTINUES, piece)) if piece.len() == PIECE => {
                joined.extend(piece);
                self.open[vm] = Some((at, joined));
                None
            }
            _ => {
                joined.extend(text);
                let (vm, text) = (Some(vm), joined);
                Some(Entry { vm, at, text })
            }
        }
    }

    /// The lines whose last piece never came.
    pub fn finish(self) -> impl Iterator<Item = Entry> {
        let open = self.open.into_iter().enumerate();
        open.filter_map(|(vm, open)| {
            let (at, text) = open?;
            let vm = Some(vm);
            Some(Entry { vm, at, text })
        })
    }
}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        Self {
            at: entry.at,
            text: String::from_utf8_lossy(&entry.text).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn names() -> [String; 2] {
        ["a", "b"].map(str::to_owned)
    }

    /// The lines that a monitor prints for one line of a VM.
    fn printed(name: &str, line: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces: Vec<_> = line.chunks(PIECE).map(<[u8]>::to_vec).collect();
        let last = pieces.pop().unwrap_or_default();
        for piece in &mut pieces {
            piece.push(CONTINUES);
        }
        pieces.push(last);
        let prefix = format!("{name}{SEPARATOR}").into_bytes();
        let prefixed = |piece: Vec<u8>| [prefix.clone(), piece].concat();
        pieces.into_iter().map(prefixed).collect()
    }

    #[test]
    fn a_line_begins_with_its_vm() {
        let split = |line: &'static str| {
            let (name, text) = split(line.as_bytes())?;
            Some((name, str::from_utf8(text).unwrap()))
        };
        assert_eq!(split("a-1| one| two"), Some(("a-1", "one| two")));
        assert_eq!(split("a-1| "), Some(("a-1", "")));
        assert_eq!(
            split("a| patchvisor: error: no"),
            Some(("a", "patchvisor: error: no"))
        );
        assert_eq!(split("patchvisor: error: a| b"), None);
        assert_eq!(split(r" | |  | | '_ \ / _ \ '_ \ \___ \"), None);
        assert_eq!(split("a|b"), None);
        assert_eq!(split("| text"), None);
        assert_eq!(split(""), None);
    }

    #[test]
    fn pieces_are_joined_although_others_come_between() {
        let long = [b'x'; 2 * PIECE + 1];
        let pieces = printed("a", &long);
        assert_eq!(pieces.len(), 3);
        let mut splitter = Splitter::new(&names());
        assert_eq!(splitter.take(&pieces[0], MS), None);
        let other = splitter.take(b"b| short", 2 * MS).unwrap();
        assert_eq!((other.vm, &other.text[..]), (Some(1), &b"short"[..]));
        let monitor = splitter.take(b"patchvisor: a word", 3 * MS).unwrap();
        assert_eq!(monitor.vm, None);
        assert_eq!(splitter.take(&pieces[1], 4 * MS), None);
        let whole = splitter.take(&pieces[2], 5 * MS).unwrap();
        let (vm, at, text) = (Some(0), MS, long.to_vec());
        assert_eq!(whole, Entry { vm, at, text });
    }

    #[test]
    fn a_short_line_that_ends_in_a_backslash_is_whole() {
        let mut splitter = Splitter::new(&names());
        let entry = splitter.take(br"a| cc -c \", MS).unwrap();
        assert_eq!(entry.text, br"cc -c \");
    }

    #[test]
    fn a_line_that_never_ended_is_not_lost() {
        let mut splitter = Splitter::new(&names());
        let pieces = printed("b", &[b'y'; 300]);
        assert_eq!(splitter.take(&pieces[0], MS), None);
        let rest: Vec<_> = splitter.finish().collect();
        let (vm, at, text) = (Some(1), MS, vec![b'y'; PIECE]);
        assert_eq!(rest, [Entry { vm, at, text }]);
    }

    #[test]
    fn names_of_no_vm_are_the_monitors() {
        let mut splitter = Splitter::new(&names());
        let entry = splitter.take(b"c| text", MS).unwrap();
        assert_eq!((entry.vm, &entry.text[..]), (None, &b"c| text"[..]));
    }

    proptest! {
        #[test]
        fn every_line_comes_back(
            lines in prop::collection::vec(
                (0usize..2, prop::collection::vec(prop_oneof![Just(b'\\'), any::<u8>()], 0..800)),
                0..8,
            )
        ) {
            let names = names();
            let mut splitter = Splitter::new(&names);
            for (vm, line) in lines {
                let pieces = printed(&names[vm], &line);
                let entries: Vec<_> = pieces
                    .iter()
                    .filter_map(|piece| splitter.take(piece, MS))
                    .collect();
                prop_assert_eq!(entries, [Entry { vm: Some(vm), at: MS, text: line }]);
            }
        }
    }
}
