//! CSR numbers (volume II, "CSR Listing").

macro_rules! numbers {
    ($($constant:ident = $number:literal, $name:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            pub const $constant: u16 = $number;
        )*

        /// Every CSR that has a name here.
        const NAMES: &[(u16, &str)] = &[$(($constant, $name)),*];
    };
}

/// `th.sxstatus` of T-Head's processors (XThead extension specification, "th.sxstatus"): which of their
/// own extensions are on.
pub const TH_SXSTATUS: u16 = 0x5c0;

numbers! {
    // Unprivileged: floating point, vector, entropy, jump table
    FFLAGS = 0x001, "fflags";
    FRM = 0x002, "frm";
    FCSR = 0x003, "fcsr";
    VSTART = 0x008, "vstart";
    VXSAT = 0x009, "vxsat";
    VXRM = 0x00a, "vxrm";
    VCSR = 0x00f, "vcsr";
    SSP = 0x011, "ssp";
    SEED = 0x015, "seed";
    JVT = 0x017, "jvt";
    // Unprivileged counters
    CYCLE = 0xc00, "cycle";
    TIME = 0xc01, "time";
    INSTRET = 0xc02, "instret";
    HPMCOUNTER3 = 0xc03, "hpmcounter3";
    HPMCOUNTER4 = 0xc04, "hpmcounter4";
    HPMCOUNTER5 = 0xc05, "hpmcounter5";
    HPMCOUNTER6 = 0xc06, "hpmcounter6";
    HPMCOUNTER7 = 0xc07, "hpmcounter7";
    HPMCOUNTER8 = 0xc08, "hpmcounter8";
    HPMCOUNTER9 = 0xc09, "hpmcounter9";
    HPMCOUNTER10 = 0xc0a, "hpmcounter10";
    HPMCOUNTER11 = 0xc0b, "hpmcounter11";
    HPMCOUNTER12 = 0xc0c, "hpmcounter12";
    HPMCOUNTER13 = 0xc0d, "hpmcounter13";
    HPMCOUNTER14 = 0xc0e, "hpmcounter14";
    HPMCOUNTER15 = 0xc0f, "hpmcounter15";
    HPMCOUNTER16 = 0xc10, "hpmcounter16";
    HPMCOUNTER17 = 0xc11, "hpmcounter17";
    HPMCOUNTER18 = 0xc12, "hpmcounter18";
    HPMCOUNTER19 = 0xc13, "hpmcounter19";
    HPMCOUNTER20 = 0xc14, "hpmcounter20";
    HPMCOUNTER21 = 0xc15, "hpmcounter21";
    HPMCOUNTER22 = 0xc16, "hpmcounter22";
    HPMCOUNTER23 = 0xc17, "hpmcounter23";
    HPMCOUNTER24 = 0xc18, "hpmcounter24";
    HPMCOUNTER25 = 0xc19, "hpmcounter25";
    HPMCOUNTER26 = 0xc1a, "hpmcounter26";
    HPMCOUNTER27 = 0xc1b, "hpmcounter27";
    HPMCOUNTER28 = 0xc1c, "hpmcounter28";
    HPMCOUNTER29 = 0xc1d, "hpmcounter29";
    HPMCOUNTER30 = 0xc1e, "hpmcounter30";
    HPMCOUNTER31 = 0xc1f, "hpmcounter31";
    VL = 0xc20, "vl";
    VTYPE = 0xc21, "vtype";
    VLENB = 0xc22, "vlenb";
    // Supervisor
    SSTATUS = 0x100, "sstatus";
    SIE = 0x104, "sie";
    STVEC = 0x105, "stvec";
    SCOUNTEREN = 0x106, "scounteren";
    SENVCFG = 0x10a, "senvcfg";
    SSTATEEN0 = 0x10c, "sstateen0";
    SSTATEEN1 = 0x10d, "sstateen1";
    SSTATEEN2 = 0x10e, "sstateen2";
    SSTATEEN3 = 0x10f, "sstateen3";
    SCOUNTINHIBIT = 0x120, "scountinhibit";
    SSCRATCH = 0x140, "sscratch";
    SEPC = 0x141, "sepc";
    SCAUSE = 0x142, "scause";
    STVAL = 0x143, "stval";
    SIP = 0x144, "sip";
    STIMECMP = 0x14d, "stimecmp";
    SISELECT = 0x150, "siselect";
    SIREG = 0x151, "sireg";
    SIREG2 = 0x152, "sireg2";
    SIREG3 = 0x153, "sireg3";
    SIREG4 = 0x155, "sireg4";
    SIREG5 = 0x156, "sireg5";
    SIREG6 = 0x157, "sireg6";
    STOPEI = 0x15c, "stopei";
    SATP = 0x180, "satp";
    SRMCFG = 0x181, "srmcfg";
    SCONTEXT = 0x5a8, "scontext";
    SCOUNTOVF = 0xda0, "scountovf";
    STOPI = 0xdb0, "stopi";
    // Hypervisor and virtual supervisor
    HSTATUS = 0x600, "hstatus";
    HEDELEG = 0x602, "hedeleg";
    HIDELEG = 0x603, "hideleg";
    HIE = 0x604, "hie";
    HTIMEDELTA = 0x605, "htimedelta";
    HCOUNTEREN = 0x606, "hcounteren";
    HGEIE = 0x607, "hgeie";
    HENVCFG = 0x60a, "henvcfg";
    HTVAL = 0x643, "htval";
    HIP = 0x644, "hip";
    HVIP = 0x645, "hvip";
    HTINST = 0x64a, "htinst";
    HGATP = 0x680, "hgatp";
    HCONTEXT = 0x6a8, "hcontext";
    HGEIP = 0xe12, "hgeip";
    VSSTATUS = 0x200, "vsstatus";
    VSIE = 0x204, "vsie";
    VSTVEC = 0x205, "vstvec";
    VSSCRATCH = 0x240, "vsscratch";
    VSEPC = 0x241, "vsepc";
    VSCAUSE = 0x242, "vscause";
    VSTVAL = 0x243, "vstval";
    VSIP = 0x244, "vsip";
    VSTIMECMP = 0x24d, "vstimecmp";
    VSATP = 0x280, "vsatp";
    // Machine
    MVENDORID = 0xf11, "mvendorid";
    MARCHID = 0xf12, "marchid";
    MIMPID = 0xf13, "mimpid";
    MHARTID = 0xf14, "mhartid";
    MCONFIGPTR = 0xf15, "mconfigptr";
    MSTATUS = 0x300, "mstatus";
    MISA = 0x301, "misa";
    MEDELEG = 0x302, "medeleg";
    MIDELEG = 0x303, "mideleg";
    MIE = 0x304, "mie";
    MTVEC = 0x305, "mtvec";
    MCOUNTEREN = 0x306, "mcounteren";
    MENVCFG = 0x30a, "menvcfg";
    MCOUNTINHIBIT = 0x320, "mcountinhibit";
    MSCRATCH = 0x340, "mscratch";
    MEPC = 0x341, "mepc";
    MCAUSE = 0x342, "mcause";
    MTVAL = 0x343, "mtval";
    MIP = 0x344, "mip";
    PMPCFG0 = 0x3a0, "pmpcfg0";
    PMPADDR0 = 0x3b0, "pmpaddr0";
    MCYCLE = 0xb00, "mcycle";
    MINSTRET = 0xb02, "minstret";
}

/// The CSR's name in assembly, for those listed here.
#[must_use]
pub fn name(csr: u16) -> Option<&'static str> {
    let (_, name) = NAMES.iter().find(|(number, _)| *number == csr)?;
    Some(name)
}

/// The CSR with this name in assembly.
#[must_use]
pub fn by_name(name: &str) -> Option<u16> {
    let (number, _) = NAMES.iter().find(|(_, known)| *known == name)?;
    Some(*number)
}

/// Whether the number itself says that the CSR cannot be written (bits 11 and 10 both set;
/// volume II, "CSR Address Mapping Conventions").
#[must_use]
pub const fn is_read_only(csr: u16) -> bool {
    csr >> 10 & 3 == 3
}

/// The lowest privilege that can reach the CSR, as its number says: 0 U, 1 S, 2 H, 3 M.
#[must_use]
pub const fn lowest_privilege(csr: u16) -> u8 {
    (csr >> 8 & 3) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_csrs_share_a_number_or_a_name() {
        for (i, (number, name)) in NAMES.iter().enumerate() {
            assert!(*number < 0x1000, "{name} is not 12 bits");
            for (other_number, other_name) in &NAMES[..i] {
                assert_ne!(number, other_number, "{name} and {other_name}");
                assert_ne!(name, other_name);
            }
        }
    }

    #[test]
    fn numbers_tell_privilege_and_writability() {
        assert_eq!(lowest_privilege(FCSR), 0);
        assert_eq!(lowest_privilege(CYCLE), 0);
        assert_eq!(lowest_privilege(SATP), 1);
        assert_eq!(lowest_privilege(VSATP), 2);
        assert_eq!(lowest_privilege(MSTATUS), 3);
        assert!(is_read_only(CYCLE) && is_read_only(MHARTID) && is_read_only(STOPI));
        assert!(!is_read_only(SSTATUS) && !is_read_only(FCSR) && !is_read_only(MCYCLE));
    }
}
