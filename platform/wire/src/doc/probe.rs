//! Which members a handler's struct supports, asked of its `Deserialize` itself.
//!
//! The probe pretends to hold every member, so the answer cannot drift from the code. `docs/support.md` is made from
//! it. A custom `Deserialize` that refuses the made-up values is no obstacle as long as the member is optional.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::DocError;

/// How deep into nested structures the probe goes: recursive types end here.
const MAX_DEPTH: usize = 8;
/// How often the probe starts again, to see another variant of an enum or to go round a refused value.
const MAX_PASSES: usize = 64;

/// The dotted paths of the members that `T` takes, sorted: `Code`, `Code.ZipFile`. Lists and maps add nothing to a
/// path: the key of a tag in a list is `Tags.Key`.
#[must_use]
pub fn members_of<T: DeserializeOwned>() -> Vec<String> {
    let notes = Rc::new(RefCell::new(Notes::default()));
    for pass in 0..MAX_PASSES {
        let probe = Probe { path: String::new(), depth: 0, pass, notes: Rc::clone(&notes) };
        let refused = T::deserialize(probe).err();
        let mut notes = notes.borrow_mut();
        match refused {
            Some(_) => {
                // The innermost value that was handed out last is the one that was refused.
                let at = notes.last.clone();
                if !notes.avoid.insert(at) {
                    break;
                }
            }
            None if pass + 1 >= notes.variants => break,
            None => {}
        }
    }
    std::mem::take(&mut notes.borrow_mut().members).into_iter().collect()
}

#[derive(Default)]
struct Notes {
    members: BTreeSet<String>,
    /// Paths whose made-up value was refused: answered with "absent" from then on.
    avoid: BTreeSet<String>,
    /// The path of the last simple value handed out.
    last: String,
    /// The largest number of variants seen in an enum: one pass for each.
    variants: usize,
}

#[derive(Clone)]
struct Probe {
    path: String,
    depth: usize,
    pass: usize,
    notes: Rc<RefCell<Notes>>,
}

impl Probe {
    fn below(&self, name: &str) -> Probe {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Probe { path, depth: self.depth + 1, ..self.clone() }
    }

    fn see(&self, name: &str) {
        self.notes.borrow_mut().members.insert(self.below(name).path);
    }

    fn hand_out(&self) {
        self.notes.borrow_mut().last.clone_from(&self.path);
    }

    /// Whether the probe answers "absent" or "empty" here.
    fn ends(&self) -> bool {
        self.depth >= MAX_DEPTH || self.notes.borrow().avoid.contains(&self.path)
    }
}

macro_rules! simple {
    ($($method:ident => $visit:ident($($value:expr)?)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
            self.hand_out();
            visitor.$visit($($value)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe {
    type Error = DocError;

    simple! {
        deserialize_any => visit_unit(),
        deserialize_bool => visit_bool(false),
        deserialize_i8 => visit_i64(1),
        deserialize_i16 => visit_i64(1),
        deserialize_i32 => visit_i64(1),
        deserialize_i64 => visit_i64(1),
        deserialize_i128 => visit_i64(1),
        deserialize_u8 => visit_u64(1),
        deserialize_u16 => visit_u64(1),
        deserialize_u32 => visit_u64(1),
        deserialize_u64 => visit_u64(1),
        deserialize_u128 => visit_u64(1),
        deserialize_f32 => visit_f64(1.0),
        deserialize_f64 => visit_f64(1.0),
        deserialize_char => visit_char('a'),
        deserialize_str => visit_str("a"),
        deserialize_string => visit_str("a"),
        deserialize_identifier => visit_str("a"),
        deserialize_bytes => visit_bytes(b""),
        deserialize_byte_buf => visit_bytes(b""),
        deserialize_unit => visit_unit(),
        deserialize_ignored_any => visit_unit(),
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
        if self.ends() { visitor.visit_none() } else { visitor.visit_some(self) }
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DocError> {
        visitor.visit_unit()
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DocError> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
        let left = usize::from(!self.ends());
        visitor.visit_seq(Elements { probe: self, left })
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DocError> {
        visitor.visit_seq(Elements { probe: self, left: len })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DocError> {
        visitor.visit_seq(Elements { probe: self, left: len })
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
        let left = usize::from(!self.ends());
        visitor.visit_map(OneEntry { probe: self, left })
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocError> {
        for field in fields {
            self.see(field);
        }
        visitor.visit_map(EveryField { probe: self, fields, at: 0 })
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocError> {
        self.hand_out();
        let most = self.notes.borrow().variants.max(variants.len());
        self.notes.borrow_mut().variants = most;
        let Some(variant) = variants.get(self.pass % variants.len().max(1)) else {
            return Err(DocError::invalid("an enum without variants"));
        };
        visitor.visit_enum(OneVariant { probe: self, variant })
    }
}

struct Elements {
    probe: Probe,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = DocError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DocError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let element = Probe { depth: self.probe.depth + 1, ..self.probe.clone() };
        seed.deserialize(element).map(Some)
    }
}

struct OneEntry {
    probe: Probe,
    left: usize,
}

impl<'de> MapAccess<'de> for OneEntry {
    type Error = DocError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DocError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.probe.clone()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DocError> {
        seed.deserialize(Probe { depth: self.probe.depth + 1, ..self.probe.clone() })
    }
}

struct EveryField {
    probe: Probe,
    fields: &'static [&'static str],
    at: usize,
}

impl<'de> MapAccess<'de> for EveryField {
    type Error = DocError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DocError> {
        let Some(field) = self.fields.get(self.at) else { return Ok(None) };
        seed.deserialize(field.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DocError> {
        let field = self.fields.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        seed.deserialize(self.probe.below(field))
    }
}

struct OneVariant {
    probe: Probe,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for OneVariant {
    type Error = DocError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DocError> {
        let variant = seed.deserialize(IntoDeserializer::<DocError>::into_deserializer(self.variant))?;
        Ok((variant, self))
    }
}

impl OneVariant {
    fn content(&self) -> Probe {
        self.probe.see(self.variant);
        self.probe.below(self.variant)
    }
}

impl<'de> VariantAccess<'de> for OneVariant {
    type Error = DocError;

    fn unit_variant(self) -> Result<(), DocError> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DocError> {
        seed.deserialize(self.content())
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DocError> {
        self.content().deserialize_tuple(len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocError> {
        self.content().deserialize_struct("", fields, visitor)
    }
}
