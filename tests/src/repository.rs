//! A repository of one package, served over HTTP to machines on QEMU's user network.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The repository. It is served until this process ends.
#[derive(Debug)]
pub struct Repository {
    _directory: TempDir,
    port: u16,
    sum: String,
}

impl Repository {
    /// The name of the package.
    pub const PACKAGE: &'static str = "patchvisor-test";
    /// The file that it installs.
    pub const FILE: &'static str = "/usr/share/patchvisor-test";
    /// Bytes of that file: enough that it comes in many frames.
    const SIZE: usize = 4 << 20;

    /// Makes the package and begins to serve it, on a port that is free.
    ///
    /// # Errors
    /// When the package cannot be made.
    pub fn serve() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = directory.path();
        let tree = root.join("tree");
        std::fs::create_dir_all(tree.join("DEBIAN"))?;
        std::fs::create_dir_all(tree.join("usr/share"))?;
        let control = format!(
            "Package: {}\nVersion: 1\nArchitecture: all\nMaintainer: tests <tests@localhost>\n\
             Description: a file for tests\n",
            Self::PACKAGE
        );
        std::fs::write(tree.join("DEBIAN/control"), &control)?;
        let file = tree.join(Self::FILE.trim_start_matches('/'));
        // It does not compress well: a multiplicative generator's upper bytes.
        let mut state = 1u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(Self::SIZE)
        .collect();
        std::fs::write(&file, bytes)?;
        let package = root.join("test.deb");
        let mut build = Command::new("dpkg-deb");
        build.args(["--root-owner-group", "-b"]);
        output(build.arg(&tree).arg(&package))?;
        let size = package.metadata()?.len();
        let index = format!(
            "{control}Filename: ./test.deb\nSize: {size}\nSHA256: {}\n",
            sha256(&package)?
        );
        std::fs::write(root.join("Packages"), index)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let served = root.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                // A client that went away is no error of the server's.
                std::thread::spawn(move || answer(stream, &served));
            }
        });
        Ok(Self {
            port,
            sum: sha256(&file)?,
            _directory: directory,
        })
    }

    /// Its line in sources.list(5). In QEMU's user network this machine is 10.0.2.2.
    pub fn sources(&self) -> String {
        format!("deb [trusted=yes] http://10.0.2.2:{}/ ./", self.port)
    }

    /// The SHA-256 sum of [`Self::FILE`].
    pub fn sum(&self) -> &str {
        &self.sum
    }
}

/// Answers requests until the client closes.
fn answer(mut stream: TcpStream, root: &Path) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::from("-");
        while !header.trim().is_empty() {
            header.clear();
            ensure!(reader.read_line(&mut header)? != 0, "half a request");
        }
        let name = request.split(' ').nth(1).unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        let file: PathBuf = root.join(name);
        let (status, body) = match name {
            "Packages" | "test.deb" => ("200 OK", std::fs::read(file)?),
            _ => ("404 Not Found", Vec::new()),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n"
        )?;
        stream.write_all(&body)?;
    }
}

fn sha256(file: &Path) -> Result<String> {
    let text = output(Command::new("sha256sum").arg(file))?;
    let sum = text.split_whitespace().next();
    Ok(sum.context("sha256sum printed nothing")?.to_owned())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {complaint}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
