//! A client of QEMU's gdb server, for changing registers of the machine at a certain moment.
//!
//! The GDB Remote Serial Protocol is described in the GDB manual, appendix E. QEMU tells which number
//! a CSR has as a register in its target description.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU may take to open its socket, and firmware to reach the breakpoint.
const LIMIT: Duration = Duration::from_secs(60);
/// How often the socket is looked for.
const POLL: Duration = Duration::from_millis(10);
/// How much of a file is asked for at a time; QEMU's packets hold 4 KiB.
const CHUNK: usize = 0x800;

/// `medeleg`: bit 2 hands illegal instructions of S and U to S-mode (Privileged Architecture, 3.1.8).
const MEDELEG: &str = "medeleg";
const ILLEGAL_INSTRUCTION: u64 = 1 << 2;

/// Lets a machine that waits (`-S`) run until it reaches `address`, sets the bit of `medeleg` that
/// hands illegal instructions straight to S-mode, and lets it go.
///
/// # Errors
/// When QEMU does not answer as it should, or the address is not reached.
pub fn delegate_illegal_instructions(socket: &Path, address: u64) -> Result<()> {
    let mut client = Client::connect(socket)?;
    client.run_to(address)?;
    let register = client.register(MEDELEG)?;
    let value = client.read(register)? | ILLEGAL_INSTRUCTION;
    client.write(register, value)?;
    ensure!(
        client.read(register)? == value,
        "medeleg does not keep {value:#x}"
    );
    client.detach()
}

/// Lets a machine that waits (`-S`) run until it has reached `address` so many times, and has it go on at
/// `target` instead.
///
/// # Errors
/// When QEMU does not answer as it should, or the address is not reached.
pub fn derail(socket: &Path, address: u64, times: usize, target: u64) -> Result<()> {
    /// `pc`, in QEMU's target description for RISC-V.
    const PC: u32 = 32;
    let mut client = Client::connect(socket)?;
    client.reach(address, times)?;
    client.write(PC, target)?;
    client.detach()
}

/// Lets a machine that waits (`-S`) run until it reaches the first of two addresses, gives QEMU's monitor the
/// commands `at_first`, and those of `at_second` when it reaches the second.
///
/// # Errors
/// When QEMU does not answer as it should, or an address is not reached.
pub fn between(
    socket: &Path,
    [first, second]: [u64; 2],
    at_first: &[&str],
    at_second: &[&str],
) -> Result<()> {
    let mut client = Client::connect(socket)?;
    for (address, commands) in [(first, at_first), (second, at_second)] {
        client.run_to(address)?;
        commands.iter().try_for_each(|line| client.command(line))?;
    }
    client.detach()
}

/// A change of a register, by its name in QEMU's target description: bits that are cleared, then bits that
/// are set.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The register.
    pub register: &'static str,
    /// Bits that are cleared.
    pub clear: u64,
    /// Bits that are set.
    pub set: u64,
}

/// Lets a machine that waits (`-S`) run until it has reached `address` so many times, changes registers, and
/// lets it go.
///
/// # Errors
/// When QEMU does not answer as it should, the address is not reached, or a register does not take a value.
pub fn change(socket: &Path, address: u64, times: usize, changes: &[Change]) -> Result<()> {
    let mut client = Client::connect(socket)?;
    client.reach(address, times)?;
    for change in changes {
        let register = client.register(change.register)?;
        let value = client.read(register)? & !change.clear | change.set;
        client.write(register, value)?;
        let kept = client.read(register)?;
        ensure!(
            kept == value,
            "{} keeps {kept:#x} of {value:#x}",
            change.register
        );
    }
    client.detach()
}

/// A connection.
struct Client {
    stream: UnixStream,
}

impl Client {
    fn connect(socket: &Path) -> Result<Self> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(LIMIT))?;
                    return Ok(Self { stream });
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).context("connecting to QEMU's gdb server");
                }
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    /// Runs until the hart is about to execute the instruction at `address`.
    fn run_to(&mut self, address: u64) -> Result<()> {
        self.expect_ok(&format!("Z1,{address:x},4"))?;
        let stop = self.ask("c")?;
        ensure!(
            stop.starts_with("T05") || stop.starts_with("S05"),
            "the machine did not reach {address:#x}: {stop:?}"
        );
        self.expect_ok(&format!("z1,{address:x},4"))
    }

    /// Runs until `address` is reached so many times.
    fn reach(&mut self, address: u64, times: usize) -> Result<()> {
        for time in 0..times {
            if time > 0 {
                // Over the instruction where the machine stands.
                self.step()?;
            }
            self.run_to(address)?;
        }
        Ok(())
    }

    /// Executes one instruction.
    fn step(&mut self) -> Result<()> {
        let stop = self.ask("s")?;
        ensure!(
            stop.starts_with('T') || stop.starts_with('S'),
            "no step: {stop:?}"
        );
        Ok(())
    }

    /// Gives QEMU's monitor a command that says nothing (`qRcmd`).
    fn command(&mut self, line: &str) -> Result<()> {
        let hex: String = line.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.expect_ok(&format!("qRcmd,{hex}"))
    }

    /// The number of the register called `name`.
    fn register(&mut self, name: &str) -> Result<u32> {
        let target = self.description("target.xml")?;
        for file in attributes(&target, "href") {
            let description = self.description(file)?;
            if let Some(number) = number(&description, name) {
                return Ok(number);
            }
        }
        bail!("QEMU's gdb server has no register {name}")
    }

    fn description(&mut self, file: &str) -> Result<String> {
        let mut text = String::new();
        loop {
            let offset = text.len();
            let answer = self.ask(&format!("qXfer:features:read:{file}:{offset:x},{CHUNK:x}"))?;
            match answer.split_at_checked(1) {
                Some(("m", part)) => text.push_str(part),
                Some(("l", part)) => return Ok(text + part),
                _ => bail!("QEMU's gdb server does not give {file}: {answer:?}"),
            }
        }
    }

    fn read(&mut self, register: u32) -> Result<u64> {
        let answer = self.ask(&format!("p{register:x}"))?;
        let value = u64::from_str_radix(&answer, 16)
            .with_context(|| format!("reading register {register}: {answer:?}"))?;
        // Registers travel in the order of the machine's memory.
        Ok(value.swap_bytes())
    }

    fn write(&mut self, register: u32, value: u64) -> Result<()> {
        self.expect_ok(&format!("P{register:x}={:016x}", value.swap_bytes()))
    }

    /// Lets the machine go. It may end at once: the answer is not acknowledged.
    fn detach(mut self) -> Result<()> {
        self.stream.write_all(packet("D").as_bytes())?;
        ensure!(self.receive()? == "OK", "QEMU's gdb server does not detach");
        Ok(())
    }

    fn expect_ok(&mut self, request: &str) -> Result<()> {
        let answer = self.ask(request)?;
        ensure!(
            answer == "OK",
            "QEMU's gdb server says {answer:?} to {request:?}"
        );
        Ok(())
    }

    /// Sends a request and returns the answer.
    fn ask(&mut self, request: &str) -> Result<String> {
        self.stream.write_all(packet(request).as_bytes())?;
        let answer = self
            .receive()
            .with_context(|| format!("QEMU's gdb server does not answer {request:?}"))?;
        self.stream.write_all(b"+")?;
        Ok(answer)
    }

    /// The contents of the next packet; what comes before it are acknowledgements.
    fn receive(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut contents = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => contents.push(byte),
            }
        }
        // The checksum: the socket loses nothing.
        self.byte()?;
        self.byte()?;
        Ok(String::from_utf8_lossy(&contents).into_owned())
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

/// A request as it is sent.
fn packet(request: &str) -> String {
    let sum = request.bytes().fold(0u8, u8::wrapping_add);
    format!("${request}#{sum:02x}")
}

/// The values of an attribute throughout some XML.
fn attributes<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let key = format!("{name}=\"");
    xml.split(key.as_str())
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect()
}

/// The number of a register in a target description.
fn number(xml: &str, name: &str) -> Option<u32> {
    let element = xml
        .split('<')
        .find(|element| attributes(element, "name") == [name])?;
    attributes(element, "regnum").first()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_end_with_the_sum_of_their_bytes() {
        assert_eq!(packet("OK"), "$OK#9a");
        assert_eq!(packet("c"), "$c#63");
    }

    #[test]
    fn registers_are_found_in_a_description() {
        let xml = r#"<?xml version="1.0"?><feature name="org.gnu.gdb.riscv.csr"><reg
            name="fflags" bitsize="64" regnum="67" type="int"/><reg name="medeleg" bitsize="64" regnum="836" type="int"/>"#;
        assert_eq!(number(xml, "medeleg"), Some(836));
        assert_eq!(number(xml, "fflags"), Some(67));
        assert_eq!(number(xml, "mideleg"), None);
    }

    #[test]
    fn included_files_are_found_in_a_description() {
        let xml = r#"<target><xi:include href="a.xml"/><xi:include href="b.xml"/></target>"#;
        assert_eq!(attributes(xml, "href"), ["a.xml", "b.xml"]);
    }
}
