//! Decode and encode against the GNU disassembler.
//!
//! What the disassembler prints is parsed no further than into lines: our side renders the text it
//! ought to print, so that every field of every instruction is compared.

mod decode;
mod encode;
mod thead;
mod tool;
mod zcb;
