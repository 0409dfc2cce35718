//! Words as a shell reads them, for commands that are printed to be copied.

/// A word between quotes, where a shell would take it for something else without.
///
/// POSIX, "Shell Command Language", "Quoting": between single quotes nothing but a single quote is special.
pub fn quoted(word: impl AsRef<std::ffi::OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./+:@%=,-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_word_that_was_meant() {
        assert_eq!(quoted("rv64,h=false"), "rv64,h=false");
        for word in [
            "my disk.img",
            "it's",
            "$HOME",
            "a;b",
            "",
            "~/x",
            "two\nlines",
            "*",
        ] {
            let echo = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh")
                .args(["-c", &echo])
                .output();
            assert_eq!(output.unwrap().stdout, word.as_bytes(), "{echo}");
        }
    }
}
