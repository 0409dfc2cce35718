//! The flattened form (Devicetree Specification 0.4, chapter 5), taken apart into a list of nodes.
//!
//! `dtoolkit` reads trees too, but it refuses names that break the specification's rules, and real
//! firmware has such names.

use super::TreeError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;
const HEADER_SIZE: usize = 40;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Index of a node in its [`Blob`].
pub type NodeId = usize;

/// The root is always the first node.
pub const ROOT: NodeId = 0;

/// One node of the tree.
#[derive(Debug)]
pub struct Node<'a> {
    /// Its name with the unit address; empty for the root.
    pub name: &'a str,
    /// `None` for the root alone.
    pub parent: Option<NodeId>,
    properties: Vec<(&'a str, &'a [u8])>,
}

/// A device tree, its nodes in the order of the blob: each after its parent.
#[derive(Debug)]
pub struct Blob<'a> {
    pub nodes: Vec<Node<'a>>,
    /// The memory reservation block: (address, size).
    pub reservations: Vec<(u64, u64)>,
}

/// A big-endian 32-bit word, or `None` past the end.
pub fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn double_word(bytes: &[u8], offset: usize) -> Option<u64> {
    let high = word(bytes, offset)?;
    let low = word(bytes, offset + 4)?;
    Some(u64::from(high) << 32 | u64::from(low))
}

impl<'a> Blob<'a> {
    /// Takes apart the tree that `bytes` begins with.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TreeError> {
        let header = |index: usize| {
            word(bytes, 4 * index).ok_or(TreeError::Truncated {
                needed: HEADER_SIZE,
                given: bytes.len(),
            })
        };
        let magic = header(0)?;
        if magic != MAGIC {
            return Err(TreeError::NotATree { magic });
        }
        let total = header(1)? as usize;
        let structure = header(2)? as usize;
        let strings = header(3)? as usize;
        let reservations = header(4)? as usize;
        let (version, compatible) = (header(5)?, header(6)?);
        if version < VERSION || compatible > VERSION {
            return Err(TreeError::Version {
                version,
                compatible,
            });
        }
        let strings_size = header(8)? as usize;
        let bytes = bytes.get(..total).ok_or(TreeError::Truncated {
            needed: total,
            given: bytes.len(),
        })?;
        let strings = strings
            .checked_add(strings_size)
            .and_then(|end| bytes.get(strings..end))
            .ok_or(TreeError::OutOfBounds {
                what: "the strings block",
                offset: strings,
            })?;
        Ok(Self {
            nodes: Parser {
                bytes,
                strings,
                at: structure,
            }
            .nodes()?,
            reservations: read_reservations(bytes, reservations)?,
        })
    }

    /// The value of a property, or `None` when the node has no such property.
    pub fn property(&self, node: NodeId, name: &str) -> Option<&'a [u8]> {
        self.nodes[node]
            .properties
            .iter()
            .find_map(|(known, value)| (*known == name).then_some(*value))
    }

    /// A property of one 32-bit cell.
    pub fn cell(&self, node: NodeId, name: &'static str) -> Result<Option<u32>, TreeError> {
        self.property(node, name)
            .map(|value| match value.len() {
                4 => word(value, 0).ok_or_else(|| self.bad(node, name)),
                _ => Err(self.bad(node, name)),
            })
            .transpose()
    }

    /// A property that is a string. Text that is not UTF-8 counts as no property.
    pub fn string(&self, node: NodeId, name: &str) -> Option<&'a str> {
        self.strings(node, name).next()
    }

    /// The strings of a property that is a list of them.
    pub fn strings(&self, node: NodeId, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let value = self.property(node, name).unwrap_or_default();
        value
            .strip_suffix(&[0])
            .unwrap_or(value)
            .split(|&byte| byte == 0)
            .filter_map(|text| core::str::from_utf8(text).ok())
            .filter(|text| !text.is_empty())
    }

    /// Whether one of the node's `compatible` names is among `names`.
    pub fn is_compatible(&self, node: NodeId, names: &[&str]) -> bool {
        self.strings(node, "compatible")
            .any(|name| names.contains(&name))
    }

    /// Whether the node's `status`, if it has one, says that it works.
    pub fn is_enabled(&self, node: NodeId) -> bool {
        self.string(node, "status")
            .is_none_or(|status| matches!(status, "okay" | "ok"))
    }

    /// The children of a node.
    pub fn children(&self, parent: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        (parent + 1..self.nodes.len()).filter(move |&node| self.nodes[node].parent == Some(parent))
    }

    /// The child whose name, without a unit address unless `name` has one, is `name`.
    pub fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.children(parent).find(|&node| {
            let full = self.nodes[node].name;
            full == name || full.split('@').next() == Some(name)
        })
    }

    /// The node at an absolute path, or `None`.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        path.strip_prefix('/')?
            .split('/')
            .filter(|name| !name.is_empty())
            .try_fold(ROOT, |node, name| self.child(node, name))
    }

    /// The node with this phandle.
    pub fn by_phandle(&self, phandle: u32) -> Option<NodeId> {
        (0..self.nodes.len()).find(|&node| {
            ["phandle", "linux,phandle"].iter().any(|name| {
                self.property(node, name).and_then(|value| word(value, 0)) == Some(phandle)
            })
        })
    }

    /// The controller of a node's interrupts: what `interrupt-parent` names, in the node or in the
    /// nearest node above it that has one.
    pub fn interrupt_parent(&self, node: NodeId) -> Option<NodeId> {
        core::iter::successors(Some(node), |&node| self.nodes[node].parent)
            .find_map(|node| self.property(node, "interrupt-parent"))
            .and_then(|value| self.by_phandle(word(value, 0)?))
    }

    /// The path of a node, for messages.
    pub fn path(&self, node: NodeId) -> String {
        let mut path = String::new();
        let mut at = node;
        while let Some(parent) = self.nodes[at].parent {
            path = format!("/{}{path}", self.nodes[at].name);
            at = parent;
        }
        if path.is_empty() { "/".into() } else { path }
    }

    /// The error that `property` of `node` has a wrong value.
    pub fn bad(&self, node: NodeId, property: &'static str) -> TreeError {
        TreeError::BadProperty {
            node: self.path(node),
            property,
        }
    }
}

fn read_reservations(bytes: &[u8], from: usize) -> Result<Vec<(u64, u64)>, TreeError> {
    let mut reservations = Vec::new();
    let mut offset = from;
    loop {
        let out_of_bounds = || TreeError::OutOfBounds {
            what: "a memory reservation",
            offset,
        };
        let address = double_word(bytes, offset).ok_or_else(out_of_bounds)?;
        let size = double_word(bytes, offset + 8).ok_or_else(out_of_bounds)?;
        if (address, size) == (0, 0) {
            return Ok(reservations);
        }
        reservations.push((address, size));
        offset += 16;
    }
}

/// Walks over the structure block.
struct Parser<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn nodes(mut self) -> Result<Vec<Node<'a>>, TreeError> {
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let mut open: Option<NodeId> = None;
        loop {
            let offset = self.at;
            let token = self.word()?;
            match (token, open) {
                (NOP, _) => {}
                (BEGIN_NODE, parent) if parent.is_some() || nodes.is_empty() => {
                    let name = self.name()?;
                    open = Some(nodes.len());
                    nodes.push(Node {
                        name,
                        parent,
                        properties: Vec::new(),
                    });
                }
                (PROPERTY, Some(node)) => {
                    let property = self.property()?;
                    nodes[node].properties.push(property);
                }
                (END_NODE, Some(node)) => open = nodes[node].parent,
                (END, None) if !nodes.is_empty() => return Ok(nodes),
                _ => return Err(TreeError::BadToken { token, offset }),
            }
        }
    }

    fn out_of_bounds(&self, what: &'static str) -> TreeError {
        TreeError::OutOfBounds {
            what,
            offset: self.at,
        }
    }

    fn word(&mut self) -> Result<u32, TreeError> {
        let word = word(self.bytes, self.at).ok_or_else(|| self.out_of_bounds("a token"))?;
        self.at += 4;
        Ok(word)
    }

    /// Takes `length` bytes and the padding to the next token.
    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], TreeError> {
        let end = self.at.checked_add(length);
        let bytes = end
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or_else(|| self.out_of_bounds(what))?;
        self.at = (self.at + length).next_multiple_of(4);
        Ok(bytes)
    }

    fn name(&mut self) -> Result<&'a str, TreeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let name = text(rest).ok_or_else(|| self.out_of_bounds("a node's name"))?;
        self.take(name.len() + 1, "a node's name")?;
        Ok(name)
    }

    fn property(&mut self) -> Result<(&'a str, &'a [u8]), TreeError> {
        let length = self.word()? as usize;
        let name = self.word()? as usize;
        let value = self.take(length, "a property's value")?;
        let name = self
            .strings
            .get(name..)
            .and_then(text)
            .ok_or_else(|| self.out_of_bounds("a property's name"))?;
        Ok((name, value))
    }
}

/// The text up to the first NUL.
fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    core::str::from_utf8(&bytes[..end]).ok()
}
