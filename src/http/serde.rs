//! JSON values for programs that use serde: options from any format, claims into any type.
//!
//! Not in the published wasm, where serde would cost more than the whole reader.

use core::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::http::json::{self, Number, Object, Value};

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(object) => Ok(object),
            // What was found is not repeated: it may be a secret.
            _ => Err(de::Error::custom("an object is expected")),
        }
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        number(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        number(&value.to_string())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_entry::<String, Value>()? {
            list.push((member.0.into(), member.1));
        }
        Object::from_members(list)
            .map(Value::Object)
            .map_err(|_| de::Error::custom("a member stands twice"))
    }
}

/// A number by its text; NaN and the infinities are no JSON.
fn number<E: de::Error>(text: &str) -> Result<Value, E> {
    json::read(text.as_bytes(), text.len()).map_err(|_| de::Error::custom("not a JSON number"))
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.iter();
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (name, value) in members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = &*self.as_text();
        if let Ok(value) = text.parse::<i64>() {
            return serializer.serialize_i64(value);
        }
        if let Ok(value) = text.parse::<u64>() {
            return serializer.serialize_u64(value);
        }
        // The reader has seen to it that a double can hold it.
        match text.parse::<f64>() {
            Ok(value) => serializer.serialize_f64(value),
            Err(_) => serializer.serialize_str(text),
        }
    }
}

impl Object {
    /// The members as a type of the program, such as the claims that its tokens carry.
    ///
    /// `None` when they do not fit: treat that as a refusal, not as defaults.
    pub fn to_type<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(Reader(&Value::Object(self.clone()))).ok()
    }
}

/// Reads a type out of a value.
struct Reader<'a>(&'a Value);

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_integer(), number.as_text().parse::<f64>()) {
                (Some(value), _) => visitor.visit_i64(value),
                (None, Ok(value)) => visitor.visit_f64(value),
                (None, Err(_)) => Err(de::Error::custom("not a number")),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => {
                visitor.visit_seq(de::value::SeqDeserializer::new(items.iter().map(Reader)))
            }
            Value::Object(object) => visitor.visit_map(de::value::MapDeserializer::new(
                object.iter().map(|(name, value)| (name, Reader(value))),
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> de::IntoDeserializer<'de> for Reader<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_any_format_and_go_to_any() {
        let text = r#"{"a":[1,-2.5,"x",null,true],"b":{"c":18446744073709551615}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value, json::read(text.as_bytes(), 1000).unwrap());
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_and_nothing_is_repeated() {
        let error = serde_json::from_str::<Value>(r#"{"s3cret":1,"s3cret":2}"#).unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
        let error = serde_json::from_str::<Object>(r#""s3cret""#).unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn claims_become_a_type_or_nothing() {
        #[derive(Deserialize, Debug, PartialEq)]
        struct Claims {
            tenant: String,
            level: u8,
            note: Option<String>,
            tags: Vec<String>,
        }
        let read = |text: &str| {
            json::read_object(text.as_bytes(), 1000)
                .unwrap()
                .to_type::<Claims>()
        };
        let claims = read(r#"{"tenant":"t","level":3,"tags":["x"],"more":{}}"#).unwrap();
        assert_eq!(
            (claims.tenant.as_str(), claims.level, claims.note),
            ("t", 3, None)
        );
        assert!(read(r#"{"tenant":"t","level":"3","tags":[]}"#).is_none());
        assert!(read(r#"{"tenant":"t","level":300,"tags":[]}"#).is_none());
        assert!(read(r#"{"level":3,"tags":[]}"#).is_none());
    }
}
