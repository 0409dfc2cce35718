//! The host side of Patchvisor.
