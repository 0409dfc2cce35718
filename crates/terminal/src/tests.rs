//! What users see and what guests receive.

use super::*;
use alloc::{boxed::Box, format, rc::Rc, string::String, vec, vec::Vec};
use core::cell::RefCell;
use proptest::prelude::*;

type Sink = Box<dyn FnMut(&[u8])>;

/// A terminal, and what it has sent since it was last asked.
struct Screen {
    terminal: Terminal<Sink>,
    sent: Rc<RefCell<Vec<u8>>>,
}

impl Screen {
    fn new(names: &[&str], mode: Mode) -> Self {
        let sent = Rc::new(RefCell::new(Vec::new()));
        let into = Rc::clone(&sent);
        let sink = move |bytes: &[u8]| into.borrow_mut().extend_from_slice(bytes);
        let names = names.iter().map(|&name| name.into()).collect();
        let terminal = Terminal::new(Box::new(sink) as Sink, names, mode);
        Self { terminal, sent }
    }

    fn bytes(&self) -> Vec<u8> {
        core::mem::take(&mut self.sent.borrow_mut())
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("text")
    }

    fn typed(&mut self, bytes: &[u8]) -> Vec<Input> {
        let inputs = bytes.iter().filter_map(|&byte| self.terminal.input(byte));
        inputs.collect()
    }
}

#[test]
fn the_only_vm_has_the_line_to_itself() {
    let mut screen = Screen::new(&["web"], Mode::Switched);
    let all: Vec<u8> = (0..=255).cycle().take(3 * KEPT).collect();
    for piece in all.chunks(777) {
        screen.terminal.output(0, piece);
    }
    assert!(screen.bytes() == all);
    assert_eq!(
        screen.typed(b"a\r"),
        [Input::Vm(0, b'a'), Input::Vm(0, b'\r')]
    );
    assert_eq!(screen.text(), "");
}

#[test]
fn the_only_vm_is_not_announced_and_its_output_meanwhile_is_not_cut() {
    let mut screen = Screen::new(&["web"], Mode::Switched);
    screen.typed(b"\x140");
    screen.bytes();
    let lines = "line\r\n".repeat(1000);
    screen.terminal.output(0, lines.as_bytes());
    assert_eq!(screen.text(), "");
    screen.typed(b"\x141");
    assert_eq!(screen.text(), format!("\r\x1b[K{lines}"));
}

#[test]
fn only_the_focused_console_is_shown_and_the_rest_follows_at_the_switch() {
    let mut screen = Screen::new(&["web", "db"], Mode::Switched);
    screen.terminal.output(0, b"one\r\n");
    screen.terminal.output(1, b"two\r\nlogin: ");
    assert_eq!(screen.text(), "one\r\n");
    screen.typed(b"\x142");
    assert_eq!(
        screen.text(),
        "patchvisor: console 2, db; Ctrl-T ? for help\r\ntwo\r\nlogin: "
    );
    assert_eq!(screen.typed(b"x"), [Input::Vm(1, b'x')]);
    screen.typed(b"\x141\x142");
    assert_eq!(
        screen.text(),
        "\r\npatchvisor: console 1, web; Ctrl-T ? for help\r\n\
         patchvisor: console 2, db; Ctrl-T ? for help\r\n"
    );
}

#[test]
fn a_switch_shows_the_last_lines_and_says_what_it_does_not_show() {
    let mut screen = Screen::new(&["web", "db"], Mode::Switched);
    for number in 0..REPLAYED + 5 {
        screen
            .terminal
            .output(1, format!("{number:05}\n").as_bytes());
    }
    screen.typed(b"\x14n");
    let text = screen.text();
    let (banner, rest) = text.split_once("\r\n").expect("a banner");
    assert!(
        banner.ends_with("; 30 bytes before this are not shown, try Ctrl-T l"),
        "{banner}"
    );
    assert_eq!(rest.lines().count(), REPLAYED);
    assert!(rest.starts_with("00005\n") && rest.ends_with("00104\n"));
    screen.typed(b"\x14l");
    assert_eq!(screen.text().lines().count(), REPLAYED + 5);
}

#[test]
fn the_monitors_line_breaks_a_guests_and_is_whole() {
    let mut screen = Screen::new(&["web"], Mode::Switched);
    screen.terminal.output(0, b"half");
    screen.terminal.say("VM \"web\" \x1b[1mstopped\x07");
    screen.terminal.output(0, b" a line\n");
    screen.terminal.say("two\nlines");
    assert_eq!(
        screen.text(),
        "half\r\npatchvisor: VM \"web\" \x1b[1mstopped^G\r\n a line\npatchvisor: two\r\npatchvisor: lines\r\n"
    );
}

#[test]
fn prefixed_lines_are_whole_and_carry_the_name() {
    let mut screen = Screen::new(&["web", "db"], Mode::Prefixed);
    screen.terminal.output(0, b"fir");
    screen.terminal.output(1, b"second\r\n\n");
    screen.terminal.output(0, b"st\r\r\nnext");
    assert_eq!(screen.text(), "db| second\r\ndb| \r\nweb| first\r\n");
    assert!(screen.terminal.holds());
    screen.terminal.flush();
    screen.terminal.flush();
    assert_eq!(screen.text(), "web| next\r\n");
    assert!(!screen.terminal.holds());
    screen.terminal.output(0, b" more\nthen");
    screen.terminal.say("hello");
    assert_eq!(screen.text(), "web+  more\r\npatchvisor: hello\r\n");
    screen.terminal.flush();
    screen.terminal.output(0, b"\nend\n");
    assert_eq!(screen.text(), "web| then\r\nweb| end\r\n");
}

#[test]
fn a_line_that_grows_is_not_cut_and_one_that_does_not_is_shown() {
    let mut screen = Screen::new(&["web", "db"], Mode::Prefixed);
    screen.terminal.output(0, b"login: ");
    for byte in [b'a', b'b', b'c'] {
        screen.terminal.output(1, &[byte]);
        screen.terminal.flush_quiet();
        screen.terminal.output(1, &[byte]);
    }
    assert_eq!(screen.text(), "web| login: \r\n");
    assert!(screen.terminal.holds());
    screen.terminal.output(1, b"\n");
    assert_eq!(screen.text(), "db| aabbcc\r\n");
    assert!(!screen.terminal.holds());
}

#[test]
fn a_line_without_end_goes_out_in_pieces() {
    let mut screen = Screen::new(&["web"], Mode::Prefixed);
    screen.terminal.output(0, &[b'x'; 2 * HELD + 1]);
    let piece = "x".repeat(HELD);
    assert_eq!(screen.text(), format!("web| {piece}\r\nweb+ {piece}\r\n"));
    screen.terminal.output(0, b"\n");
    assert_eq!(screen.text(), "web+ x\r\n");
}

#[test]
fn a_flush_before_a_line_feed_leaves_no_carriage_return() {
    let mut screen = Screen::new(&["web"], Mode::Prefixed);
    screen.terminal.output(0, b"50%\r");
    screen.terminal.flush();
    assert!(!screen.terminal.holds());
    assert_eq!(screen.text(), "web| 50%\r\n");
    screen.terminal.output(0, b"99%\r\nend\r");
    assert_eq!(screen.text(), "web+ ^M99%\r\n");
    screen.terminal.flush();
    screen.terminal.output(0, b"\n");
    assert_eq!(screen.text(), "web| end\r\n");
    screen.terminal.output(0, &[b'\r'; HELD + 1]);
    assert_eq!(screen.text(), format!("web| {}\r\n", "^M".repeat(HELD)));
}

#[test]
fn what_is_kept_is_shown_without_its_end_twice() {
    let mut screen = Screen::new(&["web"], Mode::Prefixed);
    screen.terminal.output(0, b"one\nlogin");
    screen.typed(b"\x14l");
    screen.terminal.output(0, b": \n");
    assert_eq!(
        screen.text(),
        "web| one\r\nweb| login\r\nweb| one\r\nweb| login\r\nweb+ : \r\n"
    );
}

#[test]
fn no_guest_can_write_over_its_name() {
    let mut screen = Screen::new(&["web", "db"], Mode::Prefixed);
    screen.terminal.output(0, b"\rdb| forged\x08\x7f\ttab\n");
    assert_eq!(screen.text(), "web| ^Mdb| forged^H^?\ttab\r\n");
}

#[test]
fn in_prefixed_mode_what_is_typed_goes_to_the_focused_vm() {
    let mut screen = Screen::new(&["web", "db"], Mode::Prefixed);
    assert_eq!(screen.typed(b"a"), [Input::Vm(0, b'a')]);
    assert_eq!(screen.typed(b"\x142b"), [Input::Vm(1, b'b')]);
    assert_eq!(screen.text(), "patchvisor: what is typed goes to db\r\n");
    assert_eq!(screen.terminal.focused(), Some(1));
}

#[test]
fn keys_after_control_t() {
    let mut screen = Screen::new(&["web", "db"], Mode::Switched);
    assert_eq!(screen.typed(b"\x14\x14"), [Input::Vm(0, 0x14)]);
    assert_eq!(screen.typed(b"\x14x"), []);
    assert_eq!(
        screen.text(),
        "patchvisor: this key means nothing after Ctrl-T: Ctrl-T ? shows those that do\r\n"
    );
    screen.typed(b"\x149");
    assert!(screen.text().contains("there is no console 9"));
    screen.typed(b"\x14?");
    assert_eq!(screen.text().lines().count(), keys::HELP.len());
    screen.typed(b"\x14p");
    assert_eq!(screen.terminal.focused(), None);
    screen.typed(b"\x14p");
    assert_eq!(screen.terminal.focused(), Some(1));
    screen.typed(b"\x14n");
    assert_eq!(screen.terminal.focused(), None);
    assert_eq!(screen.typed(b"\x14\x14"), []);
}

#[test]
fn without_vms_there_is_the_shell() {
    let mut screen = Screen::new(&[], Mode::Switched);
    assert_eq!(screen.text(), "patchvisor> ");
    assert_eq!(screen.typed(b"vms\r"), [Input::Command(Command::Vms)]);
    assert_eq!(screen.text(), "vms\r\npatchvisor> ");
}

#[test]
fn what_is_typed_in_the_shell_can_be_corrected() {
    let mut screen = Screen::new(&["web"], Mode::Switched);
    screen.typed(b"\x140");
    screen.bytes();
    assert_eq!(
        screen.typed(b"xyz\x15vmx\x7fs\r\n"),
        [Input::Command(Command::Vms)]
    );
    let rub = "\x08 \x08";
    assert_eq!(
        screen.text(),
        format!("xyz{}vmx{rub}s\r\npatchvisor> ", rub.repeat(3))
    );
    assert_eq!(screen.typed(b"\x7f\x15\r"), []);
    assert_eq!(screen.text(), "\r\npatchvisor> ");
}

#[test]
fn a_command_is_no_longer_than_its_line() {
    let mut screen = Screen::new(&[], Mode::Switched);
    screen.bytes();
    screen.typed(&[b'x'; TYPED + 10]);
    assert_eq!(screen.text(), "x".repeat(TYPED));
}

#[test]
fn what_the_monitor_says_does_not_spoil_what_is_being_typed() {
    let mut screen = Screen::new(&["web"], Mode::Switched);
    screen.typed(b"\x140pau");
    screen.bytes();
    screen.terminal.say("hello");
    assert_eq!(
        screen.text(),
        "\r\x1b[Kpatchvisor: hello\r\npatchvisor> pau"
    );
    assert_eq!(screen.typed(b"se w\r"), [Input::Command(Command::Pause(0))]);
}

#[test]
fn an_answer_waits_for_the_shell_to_be_looked_at() {
    let mut screen = Screen::new(&["web"], Mode::Switched);
    screen.typed(b"\x140vms\r\x141");
    screen.bytes();
    screen.terminal.answer("1 web  running");
    assert_eq!(screen.text(), "");
    screen.typed(b"\x140");
    assert_eq!(
        screen.text(),
        "patchvisor: console 0, the monitor's shell; Ctrl-T ? for help\r\n1 web  running\r\npatchvisor> "
    );
}

#[test]
fn an_answer_that_waits_is_not_lost_when_the_monitor_says_something() {
    let mut screen = Screen::new(&["web"], Mode::Switched);
    screen.terminal.answer("1 web  running");
    screen.terminal.say("hello");
    assert_eq!(screen.text(), "patchvisor: hello\r\n");
    screen.typed(b"\x140");
    assert!(
        screen
            .text()
            .contains("\r\n1 web  running\r\npatchvisor: hello\r\npatchvisor> ")
    );
}

#[test]
fn the_prompt_is_not_drawn_again_for_nothing() {
    let mut screen = Screen::new(&["web", "db"], Mode::Prefixed);
    screen.typed(b"\x140");
    screen.bytes();
    screen.terminal.output(0, b"part");
    assert_eq!(screen.text(), "");
    screen.terminal.output(0, b" and end\n");
    assert_eq!(screen.text(), "\r\x1b[Kweb| part and end\r\npatchvisor> ");
}

#[test]
fn the_shell_goes_to_a_console_and_lists_its_commands() {
    let mut screen = Screen::new(&["web", "db"], Mode::Switched);
    assert_eq!(screen.typed(b"\x140console db\rx"), [Input::Vm(1, b'x')]);
    screen.bytes();
    screen.typed(b"\x140help\r");
    assert!(screen.text().contains("\r\ntrace on|off [VM]  trace exits"));
}

fn parse(line: &str) -> Result<shell::Line, String> {
    let names = ["web", "web2", "db", "1"].map(String::from);
    shell::parse(line, &names).map_err(|error| format!("{error}"))
}

#[test]
fn commands_name_their_vm_by_name_number_or_beginning() {
    let command = |command| Ok(shell::Line::Command(command));
    assert_eq!(parse("stats web"), command(Command::Stats(0)));
    assert_eq!(parse(" reset  3 "), command(Command::Reset(2)));
    assert_eq!(parse("dump d"), command(Command::Dump(2)));
    assert_eq!(parse("stop web2"), command(Command::Stop(1)));
    assert_eq!(parse("resume 4"), command(Command::Resume(3)));
    assert_eq!(parse("poweroff"), command(Command::PowerOff));
    assert_eq!(parse("console db"), Ok(shell::Line::Console(2)));
    assert_eq!(parse("help"), Ok(shell::Line::Help));
    assert_eq!(parse("  "), Ok(shell::Line::Empty));
    let trace = |on, vm| command(Command::Trace { on, vm });
    assert_eq!(parse("trace on"), trace(true, None));
    assert_eq!(parse("trace off 2"), trace(false, Some(1)));
}

#[test]
fn what_is_not_understood_gets_the_next_step() {
    let error = |line| parse(line).expect_err("an error");
    assert_eq!(
        error("reboot"),
        "there is no command \"reboot\": `help` lists them"
    );
    assert_eq!(error("stats"), "type `stats VM`; `vms` lists the VMs");
    assert_eq!(error("vms web"), "type `vms`; `vms` lists the VMs");
    assert_eq!(
        error("trace maybe"),
        "type `trace on|off [VM]`; `vms` lists the VMs"
    );
    assert_eq!(
        error("pause mail"),
        "there is no VM \"mail\": take the name or number of one of 1 web, 2 web2, 3 db, 4 1"
    );
    assert!(error("pause we").starts_with("\"we\" may be any of 1 web, 2 web2:"));
    assert!(error("pause 1").starts_with("\"1\" may be any of 1 web, 4 1:"));
    assert!(error("pause 0").starts_with("there is no VM"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_printed_and_typed_nothing_panics(
        vms in 0..4_usize,
        prefixed: bool,
        events in prop::collection::vec((0..6_u8, prop::collection::vec(any::<u8>(), 0..400)), 0..40),
    ) {
        let names = &["a", "b", "c"][..vms];
        let mode = if prefixed { Mode::Prefixed } else { Mode::Switched };
        let mut screen = Screen::new(names, mode);
        for (what, bytes) in events {
            match what {
                0 => { screen.typed(&bytes); }
                1 => { screen.typed(&[&[0x14], &bytes[..]].concat()); }
                2 => screen.terminal.flush(),
                3 => screen.terminal.say(&String::from_utf8_lossy(&bytes)),
                vm => if vms > 0 { screen.terminal.output(usize::from(vm) % vms, &bytes) },
            }
        }
    }

    #[test]
    fn in_prefixed_mode_each_line_says_whose_it_is(
        events in prop::collection::vec((0..6_u8, prop::collection::vec(any::<u8>(), 0..400)), 0..40),
    ) {
        let mut screen = Screen::new(&["a", "b"], Mode::Prefixed);
        for (what, bytes) in events {
            match what {
                0 => { screen.typed(b"\x14n\x14l\x141"); }
                1 => screen.terminal.say(&String::from_utf8_lossy(&bytes)),
                2 => screen.terminal.flush(),
                vm => screen.terminal.output(usize::from(vm % 2), &bytes),
            }
        }
        let sent = screen.bytes();
        prop_assert!(sent.is_empty() || sent.ends_with(b"\r\n"));
        let owners: [&[u8]; 5] = [b"a| ", b"a+ ", b"b| ", b"b+ ", b"patchvisor: "];
        for line in sent.split_inclusive(|&byte| byte == b'\n') {
            prop_assert!(owners.iter().any(|owner| line.starts_with(owner)));
            let text = line.strip_suffix(b"\r\n").expect("a whole line");
            prop_assert!(!text.contains(&b'\r'));
        }
    }

    #[test]
    fn what_is_kept_and_held_is_bounded(pieces in prop::collection::vec(0..KEPT + KEPT / 4, 1..4), byte: u8) {
        let mut ring = ring::Ring::new();
        let mut all: Vec<u8> = Vec::new();
        for piece in pieces {
            let piece = vec![byte.wrapping_add(all.len() as u8); piece];
            ring.push(&piece);
            all.extend(&piece);
            prop_assert!(ring.kept() == all[all.len().saturating_sub(KEPT)..]);
            let (tail, skipped) = ring.not_shown(usize::MAX);
            prop_assert_eq!(tail.len() as u64 + skipped, all.len() as u64);
        }
    }

    #[test]
    fn prefixed_output_can_be_put_together_again(
        text in prop::collection::vec(prop_oneof![4 => Just(b'x'), 1 => Just(b'\n'), 1 => b' '..=b'~'], 0..2000),
        flushes in prop::collection::vec(0..2000_usize, 0..10),
    ) {
        let mut screen = Screen::new(&["vm"], Mode::Prefixed);
        for (at, byte) in text.iter().enumerate() {
            screen.terminal.output(0, &[*byte]);
            if flushes.contains(&at) {
                screen.terminal.flush();
            }
        }
        screen.terminal.output(0, b"\n");
        let mut lines: Vec<String> = Vec::new();
        for line in screen.text().lines() {
            match line.strip_prefix("vm+ ") {
                Some(more) => lines.last_mut().expect("a line to continue").push_str(more),
                None => lines.push(line.strip_prefix("vm| ").expect("a prefix").into()),
            }
        }
        let text = String::from_utf8(text).expect("ASCII");
        let expected: Vec<&str> = text.split('\n').collect();
        prop_assert_eq!(lines, expected);
    }
}

#[test]
fn a_break_is_for_the_console_that_has_the_focus() {
    let mut screen = Screen::new(&["web", "db"], Mode::Switched);
    assert_eq!(screen.typed(b"\x14b"), [Input::Break(0)]);
    assert_eq!(screen.terminal.line_break(), Some(Input::Break(0)));
    assert_eq!(
        screen.typed(b"\x142\x14bs"),
        [Input::Break(1), Input::Vm(1, b's')]
    );
    assert_eq!(screen.typed(b"\x140\x14b"), []);
    assert_eq!(screen.terminal.line_break(), None);
    assert_eq!(
        screen.typed(b"break db\r"),
        [Input::Command(Command::Break(1))]
    );
}
