//! Schemas compiled for decoding and encoding: references resolved, sizes computed, names shared.

use std::fmt;
use std::sync::Arc;

use crate::data::unfit::Unfit;
use crate::data::{Container, Fields, Scalar, Schema};

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: Vec<Node>,
    root: Id,
}

/// Index of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(usize);

/// The type of a node. Whether maps and sets are ordered matters to encoding and to JSON, whose arrays and
/// objects may have any order.
#[derive(Debug)]
pub(super) enum Node {
    Scalar(Scalar),
    Text,
    /// As another one, but of variable length.
    Box(Id),
    /// A struct or an enum after the number of its words.
    Extensible(Id),
    /// The padding of `None`, in words.
    Option {
        content: Id,
        filling: usize,
    },
    /// The padding after each.
    Result {
        ok: Id,
        err: Id,
        ok_filling: usize,
        err_filling: usize,
    },
    /// Elements after their number.
    Vec(Id),
    Array(Id, u64),
    Set {
        element: Id,
        is_ordered: bool,
    },
    Map {
        key: Id,
        value: Id,
        is_ordered: bool,
    },
    Tuple(Vec<Id>),
    Struct {
        name: Arc<str>,
        fields: Parts,
        /// The number of fields that all values have, where it can gain some: those added later follow them.
        always: usize,
    },
    Enum {
        name: Arc<str>,
        variants: Vec<VariantPlan>,
    },
    /// A struct or enum further out; whether getting there and back counts as a level of nesting, since no sequence
    /// on the way does.
    Back {
        target: Id,
        counts: bool,
    },
}

#[derive(Debug)]
pub(super) enum Parts {
    Unit,
    Tuple(Vec<Id>),
    Named(Vec<(Arc<str>, Id)>),
}

#[derive(Debug)]
pub(super) struct VariantPlan {
    pub(super) index: u64,
    pub(super) name: Arc<str>,
    pub(super) fields: Parts,
}

/// A reference leads nowhere.
#[derive(Debug)]
pub(crate) struct NoTarget;

impl Plan {
    /// Compiles a schema.
    pub(crate) fn new(schema: &Schema) -> Result<Plan, NoTarget> {
        let mut maker = Maker { nodes: Vec::new(), around: Vec::new(), sequences: 0 };
        let root = maker.node(schema)?;
        Ok(Plan { nodes: maker.nodes, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// Returns what a reference stands for, and whether following it counts as a level of nesting.
    pub(super) fn resolved(&self, id: Id) -> (Id, bool) {
        match self.node(id) {
            Node::Back { target, counts } => (*target, *counts),
            _ => (id, false),
        }
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0]
    }

    /// Returns whether two nodes are of the same type. Recursive types are never the same here.
    #[cfg(feature = "json")]
    pub(super) fn is_same(&self, id: Id, other: &Plan, other_id: Id) -> bool {
        let all = |a: &[Id], b: &[Id]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.is_same(*a, other, *b));
        match (self.node(id), other.node(other_id)) {
            (Node::Scalar(a), Node::Scalar(b)) => a == b,
            (Node::Text, Node::Text) => true,
            (Node::Vec(a), Node::Vec(b)) => self.is_same(*a, other, *b),
            (Node::Array(a, n), Node::Array(b, m)) => n == m && self.is_same(*a, other, *b),
            (Node::Result { ok: a, err: c, .. }, Node::Result { ok: b, err: d, .. }) => all(&[*a, *c], &[*b, *d]),
            (Node::Tuple(a), Node::Tuple(b)) => all(a, b),
            (Node::Struct { name: a, fields: x, .. }, Node::Struct { name: b, fields: y, .. }) => {
                a == b
                    && match (x, y) {
                        (Parts::Tuple(x), Parts::Tuple(y)) => all(x, y),
                        (Parts::Named(x), Parts::Named(y)) => {
                            x.len() == y.len()
                                && x.iter().zip(y).all(|((a, x), (b, y))| a == b && self.is_same(*x, other, *y))
                        }
                        _ => false,
                    }
            }
            _ => false,
        }
    }

    /// Returns the scalar type, if the node is one.
    pub(super) fn scalar(&self, id: Id) -> Option<Scalar> {
        match self.node(id) {
            Node::Scalar(scalar) => Some(*scalar),
            _ => None,
        }
    }
}

struct Maker<'a> {
    nodes: Vec<Node>,
    /// The structs and enums around, outermost first: the name, the node, and the sequences around that.
    around: Vec<(&'a str, Id, u32)>,
    sequences: u32,
}

impl<'a> Maker<'a> {
    fn node(&mut self, schema: &'a Schema) -> Result<Id, NoTarget> {
        // The place is taken first, for references from inside.
        let id = Id(self.nodes.len());
        self.nodes.push(Node::Text);
        self.nodes[id.0] = self.make(schema, id)?;
        Ok(id)
    }

    fn make(&mut self, schema: &'a Schema, id: Id) -> Result<Node, NoTarget> {
        Ok(match schema {
            Schema::Scalar(scalar) => Node::Scalar(*scalar),
            Schema::Text => Node::Text,
            Schema::Container(container, of) => self.container(*container, of, schema)?,
            Schema::Array(element, len) => Node::Array(self.node(element)?, *len),
            Schema::Tuple(items) => Node::Tuple(self.nodes(items)?),
            Schema::Struct(name, fields) => {
                self.around.push((name, id, self.sequences));
                let always = match fields {
                    Fields::Named(fields) => {
                        fields.iter().rposition(|field| !field.is_added).map_or(0, |last| last + 1)
                    }
                    _ => 0,
                };
                let fields = self.parts(fields)?;
                self.around.pop();
                Node::Struct { name: name.as_str().into(), fields, always }
            }
            Schema::Enum(name, variants) => {
                self.around.push((name, id, self.sequences));
                let variants = variants.iter().map(|variant| {
                    let (index, name) = (variant.index, variant.name.as_str().into());
                    Ok(VariantPlan { index, name, fields: self.parts(&variant.fields)? })
                });
                let mut variants = variants.collect::<Result<Vec<VariantPlan>, NoTarget>>()?;
                variants.sort_by_key(|variant| variant.index);
                self.around.pop();
                Node::Enum { name: name.as_str().into(), variants }
            }
            Schema::Back(name, skipped) => {
                let mut named = self.around.iter().rev().filter(|(known, ..)| known == name);
                let (_, target, sequences) = named.nth(*skipped as usize).ok_or(NoTarget)?;
                Node::Back { target: *target, counts: *sequences == self.sequences }
            }
        })
    }

    fn nodes(&mut self, schemas: &'a [Schema]) -> Result<Vec<Id>, NoTarget> {
        schemas.iter().map(|schema| self.node(schema)).collect()
    }

    fn parts(&mut self, fields: &'a Fields) -> Result<Parts, NoTarget> {
        Ok(match fields {
            Fields::Unit => Parts::Unit,
            Fields::Tuple(items) => Parts::Tuple(self.nodes(items)?),
            Fields::Named(fields) => {
                let fields = fields.iter().map(|field| Ok((field.name.as_str().into(), self.node(&field.schema)?)));
                Parts::Named(fields.collect::<Result<_, NoTarget>>()?)
            }
        })
    }

    /// Makes the node for the content of a sequence.
    fn inside(&mut self, schema: &'a Schema) -> Result<Id, NoTarget> {
        self.sequences += 1;
        let id = self.node(schema);
        self.sequences -= 1;
        id
    }

    fn container(&mut self, container: Container, of: &'a [Schema], whole: &Schema) -> Result<Node, NoTarget> {
        let fixed = |schema: &Schema| schema.fixed_words().and_then(|words| usize::try_from(words).ok());
        // The words of all that is after the first one.
        let full = fixed(whole).map(|words| words - 1);
        let filling = |schema| full.zip(fixed(schema)).map_or(0, |(full, own)| full.saturating_sub(own));
        Ok(match (container, of) {
            (Container::Vec, [element]) => Node::Vec(self.inside(element)?),
            (Container::Box, [content]) => Node::Box(self.node(content)?),
            (Container::Extensible, [content]) => Node::Extensible(self.node(content)?),
            (Container::Option, [content]) => Node::Option { content: self.node(content)?, filling: full.unwrap_or(0) },
            (Container::Result, [ok, err]) => Node::Result {
                ok: self.node(ok)?,
                err: self.node(err)?,
                ok_filling: filling(ok),
                err_filling: filling(err),
            },
            (Container::BTreeSet | Container::HashSet, [element]) => {
                Node::Set { element: self.inside(element)?, is_ordered: container == Container::BTreeSet }
            }
            (Container::BTreeMap | Container::HashMap, [key, value]) => {
                let is_ordered = container == Container::BTreeMap;
                Node::Map { key: self.inside(key)?, value: self.inside(value)?, is_ordered }
            }
            // Schemas are a public type, so somebody may have put one together that no text has.
            _ => return Err(NoTarget),
        })
    }
}

/// Writes the expected kind of value, for messages.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Scalar(scalar) => f.write_str(scalar.name()),
            Node::Text => f.write_str("a text"),
            Node::Option { .. } => f.write_str("an option"),
            Node::Result { .. } => f.write_str("a result"),
            Node::Vec(_) => f.write_str("a sequence"),
            Node::Array(_, len) => write!(f, "an array of {len}"),
            Node::Set { .. } => f.write_str("the elements of a set"),
            Node::Map { .. } => f.write_str("a map"),
            Node::Tuple(items) => write!(f, "a tuple of {}", items.len()),
            Node::Struct { name, .. } => write!(f, "struct {name}"),
            Node::Enum { name, .. } => write!(f, "enum {name}"),
            Node::Box(_) | Node::Extensible(_) | Node::Back { .. } => f.write_str("another type"),
        }
    }
}

impl From<NoTarget> for Unfit {
    fn from(_: NoTarget) -> Unfit {
        Unfit::new("the schema refers to a type that is not there")
    }
}
