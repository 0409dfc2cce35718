//! Which processes have a file open.

use std::fs::{metadata, read_dir};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Most bytes of a command line that are shown.
const SHOWN: usize = 120;

/// The processes that have the file open, as far as this one may know: the id and the command line of each.
///
/// A lock does not tell who has it: QEMU's belong to the open file and not to a process (fcntl(2), `F_OFD_SETLK`).
pub fn users(file: &Path) -> Vec<String> {
    let Ok(wanted) = metadata(file).map(|found| (found.dev(), found.ino())) else {
        return Vec::new();
    };
    let mut users = Vec::new();
    for process in read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name().to_string_lossy().into_owned();
        if name.parse::<u32>().is_err() {
            continue;
        }
        let files = read_dir(process.path().join("fd"));
        let mut files = files.into_iter().flatten().flatten();
        let has = files.any(|file| {
            metadata(file.path()).is_ok_and(|found| (found.dev(), found.ino()) == wanted)
        });
        if has {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // Others may call themselves what they like.
            let line: String = line.trim().chars().filter(|c| !c.is_control()).collect();
            let end = line.floor_char_boundary(SHOWN);
            users.push(format!("process {name} ({})", &line[..end]));
        }
    }
    users
}
