//! Which of the host's ISA extensions a guest is offered.
//!
//! A guest's instructions run on the host's hart in U-mode, so every unprivileged extension is there
//! for the guest as it is for the host. Privileged extensions are there only as far as the virtual
//! hart has them. The lists below say so; what they do not name is judged by its prefix (ISA manual,
//! "ISA Extension Naming Conventions"): `s` for supervisor level, `sm` for machine level, `x` for a
//! vendor's own.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// Supervisor-level extensions that the virtual hart has.
const SUPERVISOR: &[&str] = &[
    "ssccptr",
    "sscounterenw",
    "sstvala",
    "sstvecd",
    "ssu64xl",
    "sv39",
    "sv48",
    "sv57",
    "svbare",
];

/// Extensions that the virtual hart has whatever the host has. Svvptc: an entry that becomes valid is seen
/// without a fence. Shadow tables hold nothing for an entry that is not valid, and where the hardware's TLB
/// has kept that, the fault that comes of it walks the guest's tables.
const ALWAYS: [&str; 1] = ["svvptc"];

/// Vendors' extensions known to be unprivileged. Others may be anything, so they are not offered.
const VENDOR: &[&str] = &[
    "xtheadba",
    "xtheadbb",
    "xtheadbs",
    "xtheadcondmov",
    "xtheadfmemidx",
    "xtheadfmv",
    "xtheadmac",
    "xtheadmemidx",
    "xtheadmempair",
    "xventanacondops",
];

/// Extensions with an unprivileged name that need state or permissions which the virtual hart does
/// not manage: control-flow integrity has its enables in `senvcfg` and a trap cause of its own,
/// Zkr's `seed` is granted to U-mode by M-mode alone, Zk contains Zkr, Zcmt has a CSR (`jvt`) and Zfinx and what
/// is built on it a use of `fcsr` that do not change hands with the virtual hart, and single letters name
/// what is privileged (`h`, `s`, `u`) or was never ratified (`n`).
const WITHHELD: &[&str] = &[
    "h", "n", "s", "u", "zcmt", "zdinx", "zfinx", "zhinx", "zhinxmin", "zicfilp", "zicfiss", "zk",
    "zkr",
];

/// What a withheld extension contains that can be offered.
const PARTS_OF_WITHHELD: &[(&str, &[&str])] = &[("zk", &["zkn", "zkt"])];

/// What an ISA string implies without saying it. The device-tree binding of `riscv,isa` dates from
/// when these belonged to the base; in `riscv,isa-extensions` they are named.
const IMPLIED_BY_ISA_STRING: [&str; 4] = ["zicntr", "zicsr", "zifencei", "zihpm"];

/// What the letter `g` stands for.
const GENERAL: [&str; 6] = ["i", "m", "a", "f", "d", "g"];

/// The canonical order of single-letter extensions (ISA manual, "Subset Naming Convention").
const LETTERS: &str = "iemafdgqlcbkjtpvnhsu";

/// The ISA as a device tree's cpu node gives it, in both forms.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuestIsa {
    /// `riscv,isa`, such as `rv64imafdc_zicsr_zba`.
    pub isa: String,
    /// `riscv,isa-base`, such as `rv64i`.
    pub base: String,
    /// `riscv,isa-extensions`, such as `i`, `m`, `zba`.
    pub extensions: Vec<String>,
}

/// What a guest is offered on a host with the ISA string `isa` or the list `extensions`; the list
/// counts if there is one. `None` when neither says anything of a 64-bit RISC-V hart.
#[must_use]
pub fn guest_isa<S: AsRef<str>>(isa: Option<&str>, extensions: &[S]) -> Option<GuestIsa> {
    let host: Vec<String> = if extensions.is_empty() {
        parse_isa_string(isa?)?
    } else {
        extensions
            .iter()
            .map(|name| without_version(&name.as_ref().to_ascii_lowercase()).to_owned())
            .collect()
    };
    let mut offered: Vec<String> = Vec::new();
    let always = ALWAYS.map(ToOwned::to_owned);
    for name in host.iter().chain(&always) {
        let parts = PARTS_OF_WITHHELD
            .iter()
            .find(|(whole, _)| whole == name)
            .map_or(&[][..], |(_, parts)| parts);
        let itself = is_offered(name).then_some(name.as_str());
        for name in itself.into_iter().chain(parts.iter().copied()) {
            if !offered.iter().any(|known| known == name) {
                offered.push(name.to_owned());
            }
        }
    }
    Some(GuestIsa {
        isa: isa_string(&offered),
        base: "rv64i".to_owned(),
        extensions: offered.into_iter().filter(|name| name != "g").collect(),
    })
}

/// Whether a guest may use the host's extension `name`, in lower case and without a version.
#[must_use]
pub fn is_offered(name: &str) -> bool {
    if WITHHELD.contains(&name) {
        return false;
    }
    match name.as_bytes() {
        [] => false,
        [_letter] => true,
        [b's', ..] => SUPERVISOR.contains(&name) || ALWAYS.contains(&name),
        [b'x', ..] => VENDOR.contains(&name),
        _ => true,
    }
}

/// The extensions that an ISA string names or implies, single letters first. `None` when it is no
/// string of a 64-bit hart.
fn parse_isa_string(isa: &str) -> Option<Vec<String>> {
    let isa = isa.to_ascii_lowercase();
    let mut words = isa.strip_prefix("rv64")?.split('_');
    let (letters, first_long) = split_letters(words.next()?);
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    for letter in letters {
        if letter == 'g' {
            GENERAL.into_iter().for_each(&mut add);
        } else {
            add(letter.encode_utf8(&mut [0; 4]));
        }
    }
    add(without_version(first_long));
    // After the first underscore a word may still be single letters: `rv64i2p1_m2p0`, `rv64i_m`.
    for word in words {
        match word.as_bytes() {
            [b'z' | b's' | b'x', _, ..] => add(without_version(word)),
            _ => split_letters(word)
                .0
                .into_iter()
                .for_each(|letter| add(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    IMPLIED_BY_ISA_STRING.into_iter().for_each(add);
    Some(names)
}

/// Splits `imafdc` or `i2p1m2p0` or `imafdczba` into single letters and the long name, if any,
/// that begins without an underscore.
fn split_letters(word: &str) -> (Vec<char>, &str) {
    let mut letters = Vec::new();
    let mut rest = word;
    while let Some(letter) = rest.chars().next() {
        let next = &rest[letter.len_utf8()..];
        let long =
            matches!(letter, 'z' | 'x') || letter == 's' && next.starts_with(['s', 'v', 'm']);
        if long {
            return (letters, rest);
        }
        if letter.is_ascii_lowercase() {
            letters.push(letter);
        }
        rest = after_version(next);
    }
    (letters, "")
}

/// Cuts off a version such as `2` or `2p1` that `text` begins with.
fn after_version(text: &str) -> &str {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(text);
    if major == 0 {
        return text;
    }
    let rest = &text[major..];
    match rest.strip_prefix('p') {
        Some(minor) if digits(minor) > 0 => &minor[digits(minor)..],
        _ => rest,
    }
}

/// Cuts off a version such as `1p0` that `name` ends with. A plain number at the end is part of
/// the name (`sv39`), and single letters have been split already.
fn without_version(name: &str) -> &str {
    let minor = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let Some(major) = minor.strip_suffix('p').filter(|_| minor.len() < name.len()) else {
        return name;
    };
    let stem = major.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() < major.len() { stem } else { name }
}

/// `rv64`, the single letters in canonical order, then the long names in theirs.
fn isa_string(names: &[String]) -> String {
    let mut isa = String::from("rv64");
    let has = |letter: char| names.iter().any(|name| name.chars().eq([letter]));
    isa.extend(
        LETTERS
            .chars()
            .filter(|&letter| letter != 'g' && has(letter)),
    );
    for name in names.iter().filter(|name| name.len() > 1) {
        isa.push('_');
        isa.push_str(name);
    }
    isa
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    const QEMU: &str = "rv64imafdch_zic64b_zicbom_zicbop_zicboz_ziccamoa_ziccif_zicclsm_ziccrse_\
        zicntr_zicsr_zifencei_zihintntl_zihintpause_zihpm_zmmul_za64rs_zaamo_zalrsc_zawrs_zfa_zca_\
        zcd_zba_zbb_zbc_zbs_shcounterenw_shgatpa_shtvala_shvsatpa_shvstvala_shvstvecd_ssccptr_\
        sscounterenw_sstc_sstvala_sstvecd_ssu64xl_svadu_svvptc";
    const QEMU_GUEST: &str = "rv64imafdc_zic64b_zicbom_zicbop_zicboz_ziccamoa_ziccif_zicclsm_\
        ziccrse_zicntr_zicsr_zifencei_zihintntl_zihintpause_zihpm_zmmul_za64rs_zaamo_zalrsc_zawrs_\
        zfa_zca_zcd_zba_zbb_zbc_zbs_ssccptr_sscounterenw_sstvala_sstvecd_ssu64xl_svvptc";

    fn from_string(isa: &str) -> GuestIsa {
        guest_isa::<&str>(Some(isa), &[]).expect("an ISA string")
    }

    #[test]
    fn qemu_loses_the_hypervisor_and_what_is_not_virtualised() {
        assert_eq!(from_string(QEMU).isa, QEMU_GUEST);
    }

    #[test]
    fn the_list_counts_before_the_string_and_keeps_its_order() {
        let list = ["i", "m", "h", "zba", "sstc", "c", "sv39"];
        let guest = guest_isa(Some("rv64i"), &list).expect("an ISA");
        assert_eq!(guest.extensions, ["i", "m", "zba", "c", "sv39", "svvptc"]);
        assert_eq!(guest.isa, "rv64imc_zba_sv39_svvptc");
        assert_eq!(guest.base, "rv64i");
    }

    #[test]
    fn a_list_of_qemu_gives_the_same_string_as_its_string() {
        let letters = ["i", "m", "a", "f", "d", "c", "h"].map(ToOwned::to_owned);
        let long = QEMU.split('_').skip(1).map(ToOwned::to_owned);
        let list: Vec<String> = letters.into_iter().chain(long).collect();
        assert_eq!(guest_isa(None, &list), Some(from_string(QEMU)));
    }

    #[test]
    fn nothing_privileged_passes_that_is_not_on_the_list() {
        for name in [
            "sstc",
            "svadu",
            "svade",
            "sscofpmf",
            "smstateen",
            "ssstateen",
            "smaia",
            "ssaia",
            "svnapot",
            "svpbmt",
            "svinval",
            "sdtrig",
            "zicfilp",
            "zicfiss",
            "ssnpm",
            "smnpm",
            "supm",
            "sha",
            "shcounterenw",
            "shvstvala",
            "smepmp",
            "smcsrind",
            "h",
            "s",
            "u",
            "zkr",
            "zcmt",
            "zfinx",
            "zdinx",
            "zhinx",
            "zhinxmin",
            "xtheadvector",
            "xtheadcmo",
            "xunheardof",
            "ssunheardof",
        ] {
            assert!(!is_offered(name), "{name}");
        }
    }

    #[test]
    fn what_is_unprivileged_passes() {
        for name in [
            "i",
            "m",
            "a",
            "f",
            "d",
            "q",
            "c",
            "b",
            "v",
            "zicbom",
            "zicboz",
            "zvl128b",
            "zve64d",
            "zawrs",
            "zacas",
            "zkn",
            "zimop",
            "zunheardof",
            "xtheadba",
            "sv48",
            "svvptc",
            "zcmp",
        ] {
            assert!(is_offered(name), "{name}");
        }
    }

    #[test]
    fn zk_leaves_all_of_it_but_the_entropy_source() {
        let guest = from_string("rv64i_zk_zkn_zkr");
        assert_eq!(
            guest.extensions,
            [
                "i", "zkn", "zkt", "zicntr", "zicsr", "zifencei", "zihpm", "svvptc"
            ]
        );
    }

    #[test]
    fn an_old_string_implies_the_counters_and_the_csr_instructions() {
        let guest = from_string("rv64imafdcsu");
        assert_eq!(guest.isa, "rv64imafdc_zicntr_zicsr_zifencei_zihpm_svvptc");
        assert_eq!(guest.extensions.len(), 11);
    }

    #[test]
    fn g_stands_for_its_parts_in_the_string_and_the_list() {
        let guest = from_string("rv64gc");
        assert_eq!(guest.isa, "rv64imafdc_zicntr_zicsr_zifencei_zihpm_svvptc");
        assert!(!guest.extensions.contains(&"g".to_owned()));
        assert!(guest.extensions.contains(&"d".to_owned()));
    }

    #[test]
    fn versions_and_missing_underscores_are_understood() {
        let plain = from_string("rv64imac_zba_zicsr_zvl128b");
        for isa in [
            "rv64i2p1m2p0a2c2_zba1p0_zicsr2p0_zvl128b1p0",
            "rv64i2p1_m2p0_a2p1_c2p0_zba1p0_zicsr2p0_zvl128b",
            "RV64IMAC_Zba_Zicsr_Zvl128b",
            "rv64imaczba_zicsr_zvl128b",
        ] {
            assert_eq!(from_string(isa).isa, plain.isa, "{isa}");
        }
        assert_eq!(from_string("rv64i_sv39").isa.matches("sv39").count(), 1);
        assert_eq!(from_string("rv64ima_svadu1p0"), from_string("rv64ima"));
    }

    #[test]
    fn strings_of_other_harts_are_refused() {
        for isa in ["", "rv32imac", "riscv", "rv6"] {
            assert_eq!(guest_isa::<&str>(Some(isa), &[]), None);
        }
        assert_eq!(guest_isa::<&str>(None, &[]), None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_what_is_offered_stays_offered(text in "[a-zA-Z0-9_ é]{0,60}") {
            if let Some(guest) = guest_isa::<&str>(Some(&format!("rv64{text}")), &[]) {
                prop_assert!(guest.extensions.iter().all(|name| is_offered(name)));
                let again = guest_isa(None, &guest.extensions);
                if !guest.extensions.is_empty() {
                    prop_assert_eq!(again.map(|again| again.extensions), Some(guest.extensions));
                }
            }
            let _ = guest_isa(None, &[text]);
        }
    }
}
