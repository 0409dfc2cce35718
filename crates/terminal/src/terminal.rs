//! The terminal: who has the focus, what goes out, and where what is typed goes.

use crate::REPLAYED;
use crate::editor::{Edit, Editor};
use crate::keys::{self, Key, PREFIX};
use crate::line::Line;
use crate::prefixed::Held;
use crate::ring::Ring;
use crate::shell::{self, Command};
use alloc::{format, string::String, vec::Vec};
use bundle::console::MONITOR;

/// The number of the shell's console.
const SHELL: usize = 0;
const SHELL_NAME: &str = "the monitor's shell";
const PROMPT: &str = "patchvisor> ";

/// How the consoles share the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// One at a time.
    Switched,
    /// All VMs at once, each line with the VM's name.
    Prefixed,
}

/// What a typed byte was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Input {
    /// This VM receives this byte.
    Vm(usize, u8),
    /// This VM receives a BREAK.
    Break(usize),
    /// The monitor does this, and answers with [`Terminal::answer`].
    Command(Command),
}

/// The consoles of a machine on one line. What it sends goes to `S`.
pub struct Terminal<S> {
    line: Line<S>,
    mode: Mode,
    names: Vec<String>,
    /// What each console keeps, the shell's first.
    rings: Vec<Ring>,
    /// Unfinished lines, one for each VM.
    held: Vec<Held>,
    /// The number of the console that has the focus.
    focus: usize,
    editor: Editor,
    /// Ctrl-T was typed.
    prefix: bool,
}

impl<S: FnMut(&[u8])> Terminal<S> {
    /// A terminal for VMs with these `names`. The first has the focus; the shell, if there is none. Memory
    /// is taken here, [`KEPT`](crate::KEPT) and [`HELD`](crate::HELD) bytes for each VM, and does not grow
    /// later.
    pub fn new(sink: S, names: Vec<String>, mode: Mode) -> Self {
        let vms = names.len();
        let mut terminal = Self {
            line: Line::new(sink),
            mode,
            names,
            rings: (0..=vms).map(|_| Ring::new()).collect(),
            held: (0..vms).map(|_| Held::new()).collect(),
            focus: vms.min(1),
            editor: Editor::default(),
            prefix: false,
        };
        terminal.draw_prompt();
        terminal
    }

    /// The VM that receives what is typed; `None` when the shell does.
    #[must_use]
    pub fn focused(&self) -> Option<usize> {
        self.focus.checked_sub(1)
    }

    /// `vm`, counted from 0, printed `bytes`.
    ///
    /// # Panics
    ///
    /// When there is no such VM.
    pub fn output(&mut self, vm: usize, bytes: &[u8]) {
        let console = vm + 1;
        self.rings[console].push(bytes);
        match self.mode {
            Mode::Prefixed => {
                self.held[vm].push(&self.names[vm], bytes, &mut self.line);
                self.rings[console].mark_shown();
                self.draw_prompt();
            }
            Mode::Switched if self.focus == console => {
                self.line.raw(bytes);
                self.rings[console].mark_shown();
            }
            Mode::Switched => {}
        }
    }

    /// Whether unfinished lines are held, for which [`flush_quiet`](Self::flush_quiet) should be called after
    /// a while.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.held.iter().any(|held| !held.is_empty())
    }

    /// Sends unfinished lines that are held (prefixed mode).
    pub fn flush(&mut self) {
        for (held, name) in self.held.iter_mut().zip(&self.names) {
            held.flush(name, &mut self.line);
        }
        self.draw_prompt();
    }

    /// Sends those unfinished lines to which nothing was added since this was last called (prefixed mode).
    pub fn flush_quiet(&mut self) {
        for (held, name) in self.held.iter_mut().zip(&self.names) {
            held.flush_quiet(name, &mut self.line);
        }
        self.draw_prompt();
    }

    /// The monitor says something: each line of `text` goes out at once, after `patchvisor: `.
    pub fn say(&mut self, text: &str) {
        let answers_wait = !self.rings[SHELL].all_shown();
        for text in text.lines() {
            self.keep_for_shell(MONITOR, text);
            self.line.whole(MONITOR, text.as_bytes());
        }
        if !answers_wait {
            self.rings[SHELL].mark_shown();
        }
        self.draw_prompt();
    }

    /// The monitor answers a command: lines for the shell's console. When that has no focus in
    /// switched mode, they are shown when it gets it.
    pub fn answer(&mut self, text: &str) {
        let shown = self.mode == Mode::Prefixed || self.focus == SHELL;
        for text in text.lines() {
            self.keep_for_shell("", text);
            if shown {
                self.line.whole("", text.as_bytes());
            }
        }
        if shown {
            self.rings[SHELL].mark_shown();
        }
        self.draw_prompt();
    }

    /// `byte` was typed. `None` when it was for the terminal.
    pub fn input(&mut self, byte: u8) -> Option<Input> {
        if core::mem::take(&mut self.prefix) {
            return self.key(keys::key(byte));
        }
        if byte == PREFIX {
            self.prefix = true;
            return None;
        }
        match self.focused() {
            Some(vm) => Some(Input::Vm(vm, byte)),
            None => self.shell_key(byte),
        }
    }

    /// The line had a BREAK, which is for the focused console; the shell has no use for it.
    #[must_use]
    pub fn line_break(&self) -> Option<Input> {
        self.focused().map(Input::Break)
    }

    /// A key after Ctrl-T.
    fn key(&mut self, key: Key) -> Option<Input> {
        let consoles = self.rings.len();
        match key {
            Key::Console(number) if number < consoles => self.switch(number),
            Key::Console(number) => self.say(&format!(
                "there is no console {number}: Ctrl-T 0, then `vms`, lists them"
            )),
            Key::Next => self.switch((self.focus + 1) % consoles),
            Key::Previous => self.switch((self.focus + consoles - 1) % consoles),
            Key::Help => self.say(&keys::HELP.join("\n")),
            Key::ShowKept => self.show_kept(),
            Key::Break => return self.line_break(),
            Key::Literal => return Some(Input::Vm(self.focused()?, PREFIX)),
            Key::Unknown => self.say(keys::HINT),
        }
        None
    }

    /// A key in the shell.
    fn shell_key(&mut self, byte: u8) -> Option<Input> {
        let typed = match self.editor.key(byte) {
            Edit::Echo(bytes) => {
                self.line.echo(&bytes);
                return None;
            }
            Edit::Entered(typed) => typed,
        };
        self.line.end_prompt();
        self.keep_for_shell(PROMPT, &typed);
        self.rings[SHELL].mark_shown();
        let line = shell::parse(&typed, &self.names);
        match line {
            Ok(shell::Line::Empty) => {}
            Ok(shell::Line::Help) => {
                let help: Vec<String> = shell::help().collect();
                self.answer(&help.join("\n"));
            }
            Ok(shell::Line::Console(vm)) => self.switch(vm + 1),
            Ok(shell::Line::Command(command)) => {
                self.draw_prompt();
                return Some(Input::Command(command));
            }
            Err(error) => self.answer(&format!("{error}")),
        }
        self.draw_prompt();
        None
    }

    /// Gives a console the focus.
    fn switch(&mut self, console: usize) {
        if console == self.focus {
            return;
        }
        self.focus = console;
        self.line.clear();
        let only = self.names.len() == 1 && console != SHELL;
        let lines = if only { usize::MAX } else { REPLAYED };
        let (output, skipped) = self.rings[console].not_shown(lines);
        let name = console
            .checked_sub(1)
            .map_or(SHELL_NAME, |vm| &self.names[vm]);
        if self.mode == Mode::Prefixed {
            let text = format!("what is typed goes to {name}");
            self.line.whole(MONITOR, text.as_bytes());
        } else {
            if !only {
                let earlier = match skipped {
                    0 => String::new(),
                    bytes => format!("; {bytes} bytes before this are not shown, try Ctrl-T l"),
                };
                let text = format!("console {console}, {name}; Ctrl-T ? for help{earlier}");
                self.line.whole(MONITOR, text.as_bytes());
            }
            self.line.raw(&output);
        }
        self.rings[console].mark_shown();
        self.draw_prompt();
    }

    /// Shows all that is kept of the focused console's output.
    fn show_kept(&mut self) {
        let kept = self.rings[self.focus].kept();
        self.line.clear();
        match self.focused() {
            Some(vm) if self.mode == Mode::Prefixed => {
                // What is kept ends with what is held. Sent now, it does not come twice.
                self.held[vm].flush(&self.names[vm], &mut self.line);
                let mut held = Held::new();
                held.push(&self.names[vm], &kept, &mut self.line);
                held.flush(&self.names[vm], &mut self.line);
            }
            _ => self.line.raw(&kept),
        }
        self.rings[self.focus].mark_shown();
        self.draw_prompt();
    }

    /// A line of the shell's console.
    fn keep_for_shell(&mut self, start: &str, text: &str) {
        for piece in [start, text, "\r\n"] {
            self.rings[SHELL].push(piece.as_bytes());
        }
    }

    /// If the shell has the focus, the line ends up with the prompt and what is typed.
    fn draw_prompt(&mut self) {
        if self.focus == SHELL {
            self.line.prompt(PROMPT, self.editor.typed());
        }
    }
}
