//! A strict JSON reader and a writer (RFC 8259).
//!
//! Written by hand because strictness is the product: a second reader downstream must see what
//! was checked here. Refused are members that stand twice, lone surrogates, invalid UTF-8, a
//! byte order mark, numbers outside the range of a double, and anything deeper or longer than
//! its limit.

use core::fmt;
use std::borrow::Cow;

/// The deepest nesting that is read: twice what any claims set in the field uses, and far from
/// the end of a WebAssembly stack.
pub const MAX_DEPTH: usize = 64;

/// The longest number, in characters. The longest honest ones (doubles written out) have 25.
const MAX_NUMBER: usize = 400;

/// Why a text is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A member name stands twice in one object.
    Duplicate,
    /// Not UTF-8, or a lone surrogate in an escape.
    Encoding,
    /// A number is outside the range of a double or longer than any honest one.
    Number,
    /// The text is not JSON.
    Syntax,
    /// Nested too deep.
    TooDeep,
    /// Longer than the limit.
    TooLarge,
}

/// A JSON value. Its `Debug` shows the kind only, because the text may be a secret.
#[derive(Clone, PartialEq)]
#[allow(clippy::exhaustive_enums)] // JSON has six kinds of values.
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, kept as it was written.
    Number(Number),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object.
    Object(Object),
}

impl Value {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The array as strings, if it is an array of nothing else.
    pub fn as_strings(&self) -> Option<Vec<&str>> {
        self.as_array()?.iter().map(Self::as_str).collect()
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Writes it as JSON for JavaScript, which reads numbers as doubles: integers that a double
    /// would round are written as strings, so that nobody is mistaken for a neighbour.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) if number.is_rounded_by_double() => {
                write_string(&number.as_text(), out);
            }
            Self::Number(number) => number.write(out),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(object) => object.write(out),
        }
    }
}

pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    // What needs no escape is copied in one go: most texts have nothing that does.
    while let Some((plain, special)) = rest.split_at_checked(plain_length(rest.as_bytes())) {
        out.push_str(plain);
        match special.as_bytes().first() {
            None => break,
            Some(b'"') => out.push_str("\\\""),
            Some(b'\\') => out.push_str("\\\\"),
            Some(b'\n') => out.push_str("\\n"),
            Some(b'\r') => out.push_str("\\r"),
            Some(b'\t') => out.push_str("\\t"),
            Some(byte) => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    out.extend(char::from_digit(u32::from(byte >> shift) & 15, 16));
                }
            }
        }
        rest = special.get(1..).unwrap_or_default();
    }
    out.push('"');
}

/// Writes texts as an array.
#[cfg(feature = "guard")]
pub(crate) fn write_strings<T: AsRef<str>>(texts: &[T], out: &mut String) {
    out.push('[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(text.as_ref(), out);
    }
    out.push(']');
}

/// Whether a string can hold the whole text as it is.
#[cfg(all(feature = "guard", target_arch = "wasm32"))]
pub(crate) fn is_plain(text: &str) -> bool {
    plain_length(text.as_bytes()) == text.len()
}

/// How many bytes stand before the first one that a string cannot hold as it is: a quotation mark,
/// a backslash or a control character (RFC 8259 section 7).
fn plain_length(text: &[u8]) -> usize {
    /// The same byte eight times.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // Eight bytes at a time: a borrow sets the highest bit of a byte that is less than what is
    // subtracted. It may set further ones above it, never one below.
    let (words, rest) = text.as_chunks();
    let is_plain = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let (quotes, slashes) = (word ^ all(b'"'), word ^ all(b'\\'));
        let found = (word.wrapping_sub(all(0x20)) & !word)
            | (quotes.wrapping_sub(all(1)) & !quotes)
            | (slashes.wrapping_sub(all(1)) & !slashes);
        found & all(0x80) == 0
    };
    let whole = words
        .iter()
        .position(|word| !is_plain(word))
        .unwrap_or(words.len());
    let first = words.get(whole).map_or(rest, |word| word);
    let more = first
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | ..0x20));
    whole * 8 + more.unwrap_or(first.len())
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(Number::from(value))
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

/// The members of an object, in the order of the text; no name stands twice.
#[derive(Clone, Default, PartialEq)]
pub struct Object {
    members: Vec<(Cow<'static, str>, Value)>,
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        // Claims have names of three letters, which differ in the last one: most are told apart
        // without a comparison of texts.
        let last = name.as_bytes().last();
        self.members.iter().find_map(|(key, value)| {
            let is_same =
                key.len() == name.len() && key.as_bytes().last() == last && key.as_ref() == name;
            is_same.then_some(value)
        })
    }

    /// All members.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.members
            .iter()
            .map(|(name, value)| (name.as_ref(), value))
    }

    /// Adds a member; one of this name that is there already is replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.retain(|(key, _)| key != name);
        self.members.push((known_name(name), value.into()));
        self
    }

    /// Adds a member when there is a value for it.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// As [`Value::to_json`], behind what is there.
    pub(crate) fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_string(name, out);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }

    /// From members that were just read; fails when a name stands twice.
    ///
    /// Many members are compared through a sorted list, so that a flood of them costs n log n.
    pub(super) fn from_members(members: Vec<(Cow<'static, str>, Value)>) -> Result<Self, Fault> {
        let mut twice = false;
        if members.len() <= 16 {
            let mut rest = members.as_slice();
            while let [(name, _), others @ ..] = rest {
                twice |= others.iter().any(|(other, _)| other == name);
                rest = others;
            }
        } else {
            let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
            names.sort_unstable();
            twice = names
                .windows(2)
                .any(|pair| matches!(pair, [left, right] if left == right));
        }
        if twice {
            return Err(Fault::Duplicate);
        }
        Ok(Self { members })
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("object")
    }
}

/// A member's name. Those of access tokens take no memory of their own: making and dropping a dozen
/// texts for each token would cost as much as reading them.
fn known_name(name: &str) -> Cow<'static, str> {
    #[cfg(feature = "guard")]
    if let Some(known) = KNOWN_NAMES.get(place_of(name.as_bytes()))
        && *known == name
    {
        return Cow::Borrowed(known);
    }
    Cow::Owned(name.into())
}

/// What RFC 7519 and RFC 9068 name, and what providers add to it most, each at its place.
#[cfg(feature = "guard")]
const KNOWN_NAMES: [&str; PLACES] = in_places(&[
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "sub",
    "jti",
    "client_id",
    "scope",
    "azp",
    "acr",
    "scp",
    "tid",
    "ver",
    "email",
    "roles",
    "groups",
    "auth_time",
    "sid",
    "typ",
    "permissions",
    "active",
    "cnf",
]);

#[cfg(feature = "guard")]
const PLACES: usize = 64;

/// Where a name stands among the known ones, if it is one.
#[cfg(feature = "guard")]
const fn place_of(name: &[u8]) -> usize {
    let (Some(first), Some(last)) = (name.first(), name.last()) else {
        return 0;
    };
    // A byte is a number and a small one.
    #[allow(clippy::as_conversions)]
    let sum = (*first as usize) * 2 + (*last as usize);
    (sum + name.len()) % PLACES
}

/// Two names for one place would make one of them unknown, which costs time and nothing else; a test
/// sees to it that there are none.
#[cfg(feature = "guard")]
const fn in_places(names: &[&'static str]) -> [&'static str; PLACES] {
    let mut places = [""; PLACES];
    let mut rest = names;
    while let [name, others @ ..] = rest {
        if let Some((_, [place, ..])) = places.split_at_mut_checked(place_of(name.as_bytes())) {
            *place = name;
        }
        rest = others;
    }
    places
}

/// A number. Nothing is rounded by reading it.
#[derive(Clone, PartialEq)]
pub struct Number(Form);

#[derive(Clone, PartialEq)]
enum Form {
    /// As every date is: there is one way to write it.
    Integer(i64),
    /// Any other one, as it was written.
    Text(String),
}

impl Number {
    /// Takes a number that fits the grammar.
    fn new(text: &str) -> Self {
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
        Self(match text.parse() {
            // -0 is not 0 to everyone.
            Ok(value) if is_plain && text != "-0" => Form::Integer(value),
            _ => Form::Text(text.into()),
        })
    }

    /// The number as it was written.
    pub fn as_text(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Integer(value) => {
                let mut text = String::new();
                write_integer(*value, &mut text);
                Cow::Owned(text)
            }
            Form::Text(text) => Cow::Borrowed(text),
        }
    }

    fn write(&self, out: &mut String) {
        match &self.0 {
            Form::Integer(value) => write_integer(*value, out),
            Form::Text(text) => out.push_str(text),
        }
    }

    /// The value times ten to the power of `places`, cut towards minus infinity; `None` when that
    /// is no 64-bit integer.
    ///
    /// So `scaled(0)` is the integer below a number, `scaled(3)` its thousandths.
    pub fn scaled(&self, places: i32) -> Option<i64> {
        match &self.0 {
            // As every date is. In WebAssembly a multiplication that looks for overflows is a call.
            Form::Integer(value) if places == 3 && value.unsigned_abs() < 1 << 50 => {
                Some(value.wrapping_mul(1000))
            }
            _ => self.scaled_as_text(places),
        }
    }

    #[inline(never)]
    fn scaled_as_text(&self, places: i32) -> Option<i64> {
        let text = match &self.0 {
            Form::Integer(value) if places >= 0 => {
                return (0..places).try_fold(*value, |value, _| value.checked_mul(10));
            }
            _ => self.as_text(),
        };
        let decimal = Decimal::read(&text);
        let point = decimal.point.checked_add(i64::from(places))?;
        let mut value: i64 = 0;
        let mut rest = false;
        for (index, digit) in decimal.digits().enumerate() {
            if i64::try_from(index).ok()? < point {
                value = value.checked_mul(10)?.checked_add(digit)?;
            } else {
                rest |= digit != 0;
            }
        }
        let digits = i64::try_from(decimal.digits().count()).ok()?;
        if value != 0 {
            for _ in digits..point {
                value = value.checked_mul(10)?;
            }
        }
        if decimal.negative {
            value.checked_neg()?.checked_sub(i64::from(rest))
        } else {
            Some(value)
        }
    }

    /// The value as an integer, if it is one: `1e2` is, `1.5` is not.
    pub fn as_integer(&self) -> Option<i64> {
        let text = match &self.0 {
            Form::Integer(value) => return Some(*value),
            Form::Text(text) => text,
        };
        let floor = self.scaled(0)?;
        let rest = Decimal::read(text);
        let beyond = rest.digits().enumerate().any(|(index, digit)| {
            digit != 0 && i64::try_from(index).is_ok_and(|i| i >= rest.point)
        });
        (!beyond).then_some(floor)
    }

    /// Whether it is an integer beyond 2^53, which JavaScript would round silently.
    fn is_rounded_by_double(&self) -> bool {
        const SAFE: u64 = 1 << 53;
        match &self.0 {
            Form::Integer(value) => value.unsigned_abs() > SAFE,
            // What is written with digits alone and is here has more of them than an i64.
            Form::Text(text) => {
                text != "-0"
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || byte == b'-')
            }
        }
    }

    /// Whether a double can hold its magnitude.
    ///
    /// Compared as text, because reading doubles would bring tables of powers into the artefact.
    fn is_in_range(&self) -> bool {
        /// The largest double is 1.7976931348623157e308; from here on values round to infinity.
        const FIRST_INFINITE: [i64; 20] =
            [1, 7, 9, 7, 6, 9, 3, 1, 3, 4, 8, 6, 2, 3, 1, 5, 8, 0, 7, 9];
        let text = match &self.0 {
            Form::Integer(_) => return true,
            Form::Text(text) => text,
        };
        let decimal = Decimal::read(text);
        let leading: Vec<i64> = decimal.digits().skip_while(|digit| *digit == 0).collect();
        let zeros = decimal.digits().take_while(|digit| *digit == 0).count();
        let Ok(zeros) = i64::try_from(zeros) else {
            return false;
        };
        if leading.is_empty() {
            return true;
        }
        match decimal.point.saturating_sub(zeros) {
            ..=308 => true,
            309 => leading.as_slice() < FIRST_INFINITE.as_slice(),
            _ => false,
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Form::Integer(value))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("number")
    }
}

pub(crate) fn write_integer(value: i64, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    let mut rest = value.unsigned_abs();
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        // What is left after division by ten is a digit.
        #[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
        let ones = (rest % 10) as u8;
        *digit = b'0' | ones;
        first = place;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let written = digits.get(first..).unwrap_or_default();
    out.push_str(core::str::from_utf8(written).unwrap_or_default());
}

/// The digits of a number and where their point stands.
struct Decimal<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    /// Before which digit, counted from the first, the point stands.
    point: i64,
}

impl<'a> Decimal<'a> {
    /// Takes a number apart that the reader accepted.
    fn read(text: &'a str) -> Self {
        let negative = text.starts_with('-');
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
        // An exponent beyond an i64 is beyond every limit; its sign decides on which side.
        let beyond = if exponent.starts_with('-') {
            i64::MIN / 2
        } else {
            i64::MAX / 2
        };
        let exponent = exponent.parse::<i64>().unwrap_or(beyond);
        let length = i64::try_from(integer.len()).unwrap_or(i64::MAX / 2);
        Self {
            negative,
            integer,
            fraction,
            point: exponent.saturating_add(length),
        }
    }

    fn digits(&self) -> impl Iterator<Item = i64> {
        self.integer
            .bytes()
            .chain(self.fraction.bytes())
            .map(|byte| i64::from(byte.wrapping_sub(b'0')))
    }
}

/// Reads one JSON value that fills the text.
///
/// What it does not check: which members an object has.
///
/// # Errors
///
/// A [`Fault`] says why the text is not accepted; it holds nothing of the text.
pub fn read(text: &[u8], max_bytes: usize) -> Result<Value, Fault> {
    if text.len() > max_bytes {
        return Err(Fault::TooLarge);
    }
    let text = core::str::from_utf8(text).map_err(|_| Fault::Encoding)?;
    Reader::read(text, MAX_DEPTH).map(|(value, _)| value)
}

/// Reads one JSON object that fills the text.
///
/// # Errors
///
/// As [`read`]; [`Fault::Syntax`] when the value is not an object.
pub fn read_object(text: &[u8], max_bytes: usize) -> Result<Object, Fault> {
    match read(text, max_bytes)? {
        Value::Object(object) => Ok(object),
        _ => Err(Fault::Syntax),
    }
}

/// As [`read_object`] for a text that was measured before, with a limit of its own for nesting.
///
/// # Errors
///
/// As [`read_object`].
pub(crate) fn read_object_within(text: &[u8], max_depth: usize) -> Result<Object, Fault> {
    let text = core::str::from_utf8(text).map_err(|_| Fault::Encoding)?;
    read_object_of(text, max_depth).map(|(object, _)| object)
}

/// Reads an object that fills a text, and says whether JavaScript reads the same from that text as
/// from [`Value::to_json`]: it does when no number in it is one that a double would round.
///
/// # Errors
///
/// As [`read_object`].
pub(crate) fn read_object_of(text: &str, max_depth: usize) -> Result<(Object, bool), Fault> {
    match Reader::read(text, max_depth)? {
        (Value::Object(object), rounds) => Ok((object, !rounds)),
        _ => Err(Fault::Syntax),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// How many bytes were read; a character ends there.
    at: usize,
    /// How deep it may be nested.
    max_depth: usize,
    /// Whether there was a number that a double would round.
    rounds: bool,
}

impl<'a> Reader<'a> {
    /// Reads one value that fills a text, and whether a double would round a number in it.
    fn read(text: &'a str, max_depth: usize) -> Result<(Value, bool), Fault> {
        let mut reader = Self {
            text,
            at: 0,
            max_depth,
            rounds: false,
        };
        let first = reader.token()?;
        let value = reader.value(first, 0)?;
        match reader.token() {
            Err(_) => Ok((value, reader.rounds)),
            Ok(_) => Err(Fault::Syntax),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Takes the next `length` bytes, which must end where a character does.
    fn take(&mut self, length: usize) -> Result<&'a str, Fault> {
        let end = self.at.saturating_add(length);
        let taken = self.text.get(self.at..end).ok_or(Fault::Syntax)?;
        self.at = end;
        Ok(taken)
    }

    /// Takes the next byte that is no space, if there is one.
    fn token(&mut self) -> Result<u8, Fault> {
        loop {
            let byte = self.text.as_bytes().get(self.at).ok_or(Fault::Syntax)?;
            self.at = self.at.saturating_add(1);
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(*byte);
            }
        }
    }

    /// Takes this ASCII character, if it is the next one.
    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.text.as_bytes().get(self.at) == Some(&byte);
        if is_next {
            self.at = self.at.saturating_add(1);
        }
        is_next
    }

    /// The rest of a literal whose first character was taken.
    fn literal(&mut self, rest: &str, value: Value) -> Result<Value, Fault> {
        if self.take(rest.len())? == rest {
            Ok(value)
        } else {
            Err(Fault::Syntax)
        }
    }

    /// A value whose first byte was taken.
    fn value(&mut self, first: u8, depth: usize) -> Result<Value, Fault> {
        match first {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            b't' => self.literal("rue", Value::Bool(true)),
            b'f' => self.literal("alse", Value::Bool(false)),
            b'n' => self.literal("ull", Value::Null),
            _ => Err(Fault::Syntax),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, Fault> {
        if depth >= self.max_depth {
            return Err(Fault::TooDeep);
        }
        Ok(depth.saturating_add(1))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        let depth = self.deeper(depth)?;
        let mut next = self.token()?;
        if next == b'}' {
            return Ok(Value::Object(Object::default()));
        }
        let mut members = Vec::with_capacity(8);
        loop {
            if next != b'"' {
                return Err(Fault::Syntax);
            }
            let name = self.name()?;
            if self.token()? != b':' {
                return Err(Fault::Syntax);
            }
            let first = self.token()?;
            members.push((name, self.value(first, depth)?));
            match self.token()? {
                b',' => next = self.token()?,
                b'}' => return Object::from_members(members).map(Value::Object),
                _ => return Err(Fault::Syntax),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        let depth = self.deeper(depth)?;
        let mut items = Vec::new();
        let mut first = self.token()?;
        if first == b']' {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(first, depth)?);
            match self.token()? {
                b',' => first = self.token()?,
                b']' => return Ok(Value::Array(items)),
                _ => return Err(Fault::Syntax),
            }
        }
    }

    fn name(&mut self) -> Result<Cow<'static, str>, Fault> {
        let plain = self.take(plain_length(self.rest()))?;
        if self.eat(b'"') {
            return Ok(known_name(plain));
        }
        self.string_from(plain).map(Cow::Owned)
    }

    fn string(&mut self) -> Result<String, Fault> {
        let plain = self.take(plain_length(self.rest()))?;
        if self.eat(b'"') {
            return Ok(plain.into());
        }
        self.string_from(plain)
    }

    /// The rest of a string that begins like this and goes on with an escape.
    #[inline(never)]
    fn string_from(&mut self, plain: &str) -> Result<String, Fault> {
        let mut text = String::from(plain);
        loop {
            // What is neither is a control character, or the end.
            if !self.eat(b'\\') {
                return Err(Fault::Syntax);
            }
            text.push(self.escape()?);
            text.push_str(self.take(plain_length(self.rest()))?);
            if self.eat(b'"') {
                return Ok(text);
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        Ok(match self.take(1)? {
            "\"" => '"',
            "\\" => '\\',
            "/" => '/',
            "b" => '\u{8}',
            "f" => '\u{c}',
            "n" => '\n',
            "r" => '\r',
            "t" => '\t',
            "u" => return self.unicode_escape(),
            _ => return Err(Fault::Syntax),
        })
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let unit = self.hex_unit()?;
        let code = match unit {
            0xD800..=0xDBFF => {
                if !(self.eat(b'\\') && self.eat(b'u')) {
                    return Err(Fault::Encoding);
                }
                let low = self.hex_unit()?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(Fault::Encoding);
                }
                0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
            }
            unit => unit,
        };
        char::from_u32(code).ok_or(Fault::Encoding)
    }

    fn hex_unit(&mut self) -> Result<u32, Fault> {
        let digits = self.take(4)?;
        digits.bytes().try_fold(0_u32, |unit, byte| {
            let digit = char::from(byte).to_digit(16).ok_or(Fault::Syntax)?;
            Ok(unit << 4 | digit)
        })
    }

    /// A number whose first character was taken.
    fn number(&mut self) -> Result<Number, Fault> {
        self.at = self.at.saturating_sub(1);
        let is_part =
            |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let rest = self.rest();
        let length = rest.iter().position(|byte| !is_part(*byte));
        let text = self.take(length.unwrap_or(rest.len()))?;
        match date(text) {
            Some(value) => Ok(value.into()),
            None => self.other_number(text),
        }
    }

    #[inline(never)]
    fn other_number(&mut self, text: &str) -> Result<Number, Fault> {
        if text.len() > MAX_NUMBER {
            return Err(Fault::Number);
        }
        if !is_number(text) {
            return Err(Fault::Syntax);
        }
        let number = Number::new(text);
        if number.is_in_range() {
            self.rounds |= number.is_rounded_by_double();
            Ok(number)
        } else {
            Err(Fault::Number)
        }
    }
}

/// A number as every date is: a few digits, the first of which is not zero.
fn date(text: &str) -> Option<i64> {
    if text.len() > 15 || text.starts_with('0') {
        return None;
    }
    let mut value = 0_i64;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        // Fifteen digits fit.
        value = value.wrapping_mul(10).wrapping_add(i64::from(byte & 15));
    }
    Some(value)
}

/// The grammar of RFC 8259 section 6.
fn is_number(text: &str) -> bool {
    let all_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    all_digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|exponent| {
            all_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<Fault> {
        read(text.as_bytes(), 1 << 20).err()
    }

    fn number(text: &str) -> Number {
        match read(text.as_bytes(), 1 << 20) {
            Ok(Value::Number(number)) => number,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        assert_eq!(fault(r#"{"sub":1,"sub":2}"#), Some(Fault::Duplicate));
        assert_eq!(fault(r#"{"sub":1,"\u0073ub":2}"#), Some(Fault::Duplicate));
        assert_eq!(fault(r#"{"a":{"b":1,"b":1}}"#), Some(Fault::Duplicate));
        assert_eq!(fault(r#"{"sub":1,"Sub":2}"#), None);
    }

    #[test]
    fn a_flood_of_members_is_compared_too() {
        let text = |last: usize| {
            let members: Vec<String> = (0..40)
                .chain([last])
                .map(|n| format!(r#""m{n}":1"#))
                .collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(fault(&text(40)), None);
        for twice in 0..40 {
            assert_eq!(fault(&text(twice)), Some(Fault::Duplicate), "{twice}");
        }
    }

    #[test]
    fn what_a_string_cannot_hold_as_it_is_ends_what_is_plain_wherever_it_stands() {
        for byte in 0..=255 {
            let is_special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for around in [b'a', 0x7f, 0x80, 0xff] {
                for place in 0..20 {
                    let mut text = [around; 20];
                    text[place] = byte;
                    let expected = if is_special { place } else { 20 };
                    assert_eq!(plain_length(&text), expected, "{byte} at {place}");
                    assert_eq!(plain_length(&text[..place]), place);
                }
            }
        }
    }

    #[test]
    fn javascript_reads_the_same_from_a_text_unless_a_number_would_be_rounded() {
        let same = |text: &str| read_object_of(text, MAX_DEPTH).map(|(_, is_same)| is_same);
        for text in [
            "{}",
            r#" {"a" : [1.5, -1e3, "\u0041\n", null, {"__proto__": true}]}"#,
            r#"{"n":9007199254740992,"f":0.1}"#,
        ] {
            assert_eq!(same(text), Ok(true), "{text}");
        }
        for text in [
            r#"{"n":9007199254740993}"#,
            r#"{"a":[{"n":-9007199254740993}]}"#,
            r#"{"n":9007199254740993,"m":1}"#,
        ] {
            assert_eq!(same(text), Ok(false), "{text}");
        }
        assert_eq!(same("[]"), Err(Fault::Syntax));
    }

    #[test]
    fn lone_surrogates_are_refused_and_pairs_are_read() {
        assert_eq!(fault(r#""\ud800""#), Some(Fault::Encoding));
        assert_eq!(fault(r#""\udc00""#), Some(Fault::Encoding));
        assert_eq!(fault(r#""\ud800\ud800""#), Some(Fault::Encoding));
        let pair = read(br#""\ud83d\ude00""#, 100).unwrap();
        assert_eq!(pair.as_str(), Some("\u{1F600}"));
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(fault(&nested(MAX_DEPTH)), None);
        assert_eq!(fault(&nested(MAX_DEPTH + 1)), Some(Fault::TooDeep));
        assert_eq!(fault(&"[".repeat(200_000)), Some(Fault::TooDeep));
    }

    #[test]
    fn size_has_a_limit() {
        assert_eq!(read(b"1234", 3), Err(Fault::TooLarge));
        assert!(read(b"1234", 4).is_ok());
    }

    #[test]
    #[cfg(feature = "guard")]
    fn every_known_name_has_a_place_of_its_own() {
        let known = KNOWN_NAMES.iter().filter(|name| !name.is_empty());
        assert_eq!(known.count(), 23);
        for name in ["client_id", "exp", "unknown", "", "a"] {
            assert_eq!(known_name(name), name);
        }
        assert!(matches!(known_name("iss"), Cow::Borrowed(_)));
        assert!(matches!(known_name("isa"), Cow::Owned(_)));
    }

    #[test]
    fn integers_are_written_as_they_were_read() {
        for text in [
            "0",
            "-0",
            "7",
            "-1",
            "1795214860",
            "9007199254740992",
            "1e2",
            "1.50",
        ] {
            assert_eq!(Value::Number(number(text)).to_json(), text);
            assert_eq!(number(text).as_text(), text);
        }
        for value in [i64::MIN, -10, 0, 10, i64::MAX] {
            let mut text = String::new();
            write_integer(value, &mut text);
            assert_eq!(text, value.to_string());
            assert_eq!(number(&text), Number::from(value));
        }
        let beyond = "9223372036854775808";
        assert_eq!(
            Value::Number(number(beyond)).to_json(),
            format!("\"{beyond}\"")
        );
        assert_eq!(
            number("9007199254740993").scaled(3),
            Some(9_007_199_254_740_993_000)
        );
        assert_eq!(number("9223372036854775807").scaled(3), None);
    }

    #[test]
    fn numbers_are_read_exactly() {
        assert_eq!(number("1.5").scaled(3), Some(1500));
        assert_eq!(number("-1.5").scaled(0), Some(-2));
        assert_eq!(number("1E2").as_integer(), Some(100));
        assert_eq!(number("1e+2").as_integer(), Some(100));
        assert_eq!(number("100e-2").as_integer(), Some(1));
        assert_eq!(number("1.5").as_integer(), None);
        assert_eq!(number("-0").as_integer(), Some(0));
        assert_eq!(number("0.0").as_integer(), Some(0));
        assert_eq!(number("0e9999").as_integer(), Some(0));
        assert_eq!(number("1e300").as_integer(), None);
        assert_eq!(
            number("1795214860.606253").scaled(3),
            Some(1_795_214_860_606)
        );
        assert_eq!(number("9223372036854775808").as_integer(), None);
    }

    #[test]
    fn numbers_stay_within_doubles() {
        assert_eq!(fault("1e400"), Some(Fault::Number));
        assert_eq!(fault("-1e309"), Some(Fault::Number));
        assert_eq!(fault("1.7976931348623157e308"), None);
        assert_eq!(fault("1.7976931348623159e308"), Some(Fault::Number));
        assert_eq!(fault("0.00017976931348623157e312"), None);
        assert_eq!(fault("1e-400"), None);
        assert_eq!(fault("1e99999999999999999999"), Some(Fault::Number));
        assert_eq!(fault(&"9".repeat(10_000)), Some(Fault::Number));
        for text in [
            "NaN", "Infinity", "0x10", "01", "+1", ".5", "1.", "1e", "-", "1-1",
        ] {
            assert!(fault(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let text = r#"{"a":[1,-0.5,"x\"\\\n\u0001é"],"b":{"c":null,"d":true},"e":[],"f":{}}"#;
        let value = read(text.as_bytes(), 1000).unwrap();
        assert_eq!(value.to_json(), text);
        assert_eq!(read(value.to_json().as_bytes(), 1000), Ok(value));
    }

    #[test]
    fn integers_that_a_double_would_round_are_written_as_strings() {
        let write = |text: &str| read(text.as_bytes(), 100).unwrap().to_json();
        assert_eq!(write("9007199254740992"), "9007199254740992");
        assert_eq!(write("9007199254740993"), "\"9007199254740993\"");
        assert_eq!(write("-9007199254740993"), "\"-9007199254740993\"");
        assert_eq!(
            write("123456789012345678901234567890"),
            "\"123456789012345678901234567890\""
        );
    }

    #[test]
    fn debug_shows_no_text() {
        let value = read(br#"{"access_token":"eyJ"}"#, 100).unwrap();
        assert_eq!(format!("{value:?}"), "object");
    }
}
